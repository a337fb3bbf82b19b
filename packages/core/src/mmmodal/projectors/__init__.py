"""The projectors that ship with core: `linear`, `mlp` and `conv`."""
