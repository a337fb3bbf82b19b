"""One stage from its start to its result."""
