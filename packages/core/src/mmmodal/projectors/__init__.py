"""The projectors of core: `linear`, `mlp`, `conv`, `pixel-shuffle` and `perceiver`."""
