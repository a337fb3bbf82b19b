"""How steps run: shards of work, files that appear whole, and models that are asked once."""
