"""Who is asked: a model folder or an endpoint; and the store of kept answers."""
