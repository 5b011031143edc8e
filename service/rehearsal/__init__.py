"""Plays a synthetic event against a running service, and shows what was caught when and by which means."""
