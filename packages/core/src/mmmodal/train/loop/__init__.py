"""The loop over batches: transformers' Trainer, and what goes into it."""
