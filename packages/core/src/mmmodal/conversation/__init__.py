"""Messages and records, the formats they come in, and how they become tokens."""
