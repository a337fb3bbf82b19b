"""The two training stages, as recipes on transformers' Trainer and DeepSpeed."""
