"""Is an upload a copy of something known? From a query to evidence, a closer look, a verdict and an answer."""
