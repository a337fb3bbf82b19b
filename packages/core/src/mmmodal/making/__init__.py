"""Models out of parts: composing, joining, loading and saving."""
