"""Render messages through the backbone's chat template into token ids and labels."""
