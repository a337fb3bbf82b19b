"""The report of evaluations: one HTML file that loads no other files."""
