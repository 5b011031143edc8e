"""The values that pass between the catalog, the views and the service."""
