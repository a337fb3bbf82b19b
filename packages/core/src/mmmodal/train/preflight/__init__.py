"""Check a stage and estimate its requirements, without training."""
