"""The report of a run: one HTML file with counts, plots and rows."""
