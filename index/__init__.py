"""What we know: the catalog (the durable truth) and the views that answer searches from it."""
