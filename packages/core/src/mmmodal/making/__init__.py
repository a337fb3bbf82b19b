"""Make models from parts: composing, joining, loading and saving."""
