"""From records to batches: one preparer, lengths, packing, the order of batches."""
