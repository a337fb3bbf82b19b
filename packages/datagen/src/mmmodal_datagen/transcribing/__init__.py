"""What makes a pseudo-label one that can be learned from."""
