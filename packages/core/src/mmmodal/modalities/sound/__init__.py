"""Open and decode recordings of any supported container and codec."""
