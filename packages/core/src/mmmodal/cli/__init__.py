"""The command line. Slow imports, such as torch, happen inside the commands."""
