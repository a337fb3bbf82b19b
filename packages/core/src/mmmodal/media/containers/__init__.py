"""What the headers of files say, read without a decoder: one module a format."""
