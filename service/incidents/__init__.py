"""The joint response: incidents and their protocol, feedback, quarantine, and what is counted of them."""
