"""The models that steps call, each one file and one plugin."""
