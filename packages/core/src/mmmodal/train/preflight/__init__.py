"""What a stage will take, found out without training."""
