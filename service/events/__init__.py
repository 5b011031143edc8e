"""Telling what happens, as it happens."""
