"""The projectors that ship with core: `linear`, `mlp`, `conv`, `pixel-shuffle` and `perceiver`."""
