"""Banks and what is banked: items, their features, tiles and originals."""
