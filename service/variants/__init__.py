"""Versions of what is banked, and uploads that look alike and match nothing known."""
