"""Sightings that are near-copies of each other: which belong together, found as they come."""
