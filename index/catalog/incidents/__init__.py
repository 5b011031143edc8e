"""The joint response: incidents, what organisations say of matches, and what is counted of both."""
