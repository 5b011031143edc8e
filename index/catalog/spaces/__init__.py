"""Spaces, and moving from one to another: filling it, and comparing the two."""
