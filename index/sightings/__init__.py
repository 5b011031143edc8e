"""What recorded uploads look like, where it can be searched: the newest come, the oldest go."""
