"""The run of a pipeline: contexts, shards, workers and executors."""
