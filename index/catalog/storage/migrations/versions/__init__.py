"""One file a step; the names say the order."""
