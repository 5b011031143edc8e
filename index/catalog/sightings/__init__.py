"""Recorded uploads: written, listed, searched through, forgotten."""
