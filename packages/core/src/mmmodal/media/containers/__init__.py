"""Check the headers of media files without a decoder: one module for each format."""
