"""Make batches from records: the preparer, lengths, packing, the order of batches."""
