"""The models that are served, and moving from one to another."""
