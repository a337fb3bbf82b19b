"""The folder of a run: checkpoints, journals, the report."""
