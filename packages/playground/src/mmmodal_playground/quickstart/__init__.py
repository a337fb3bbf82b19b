"""The quickstart: compose a model from tiny parts, train it, measure it, and report."""
