"""Recorded uploads: kept, linked, looked back at, forgotten."""
