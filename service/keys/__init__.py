"""Who is asking, what they may do, how often, and what they are shown."""
