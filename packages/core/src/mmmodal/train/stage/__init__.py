"""Run one training stage, from its start to its result."""
