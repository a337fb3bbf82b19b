"""The training loop: transformers' Trainer, its batches and its callbacks."""
