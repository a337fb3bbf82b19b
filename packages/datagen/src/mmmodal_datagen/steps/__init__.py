"""The steps of the pipeline, each one file and one plugin."""
