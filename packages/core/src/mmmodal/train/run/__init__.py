"""The folder of a run: checkpoints, journals and the report."""
