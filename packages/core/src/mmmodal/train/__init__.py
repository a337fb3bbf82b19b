"""Training stages, defined by recipes, with transformers' Trainer and DeepSpeed."""
