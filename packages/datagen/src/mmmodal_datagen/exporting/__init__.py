"""The pipeline's rows as files that others read."""
