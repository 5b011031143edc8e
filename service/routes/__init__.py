"""The HTTP interface: a blueprint a noun. Errors rise; what a route needs is given to it."""
