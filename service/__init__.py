"""What we answer: HTTP, command line and policy, built on models and index."""
