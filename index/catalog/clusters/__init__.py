"""Clusters of sightings: where each was put, what they show, and banking from them."""
