"""What a row must be like to be trained on: measured, with thresholds that are settings."""
