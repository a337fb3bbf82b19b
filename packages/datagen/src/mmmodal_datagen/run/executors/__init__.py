"""How shards of a step run on this machine, on several, or on Ray."""
