"""What a run leaves for people: one HTML file with counts, plots and rows to look at."""
