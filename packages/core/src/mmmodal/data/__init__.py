"""From records to batches: datasets, preparation and collation."""
