"""The store of answers of models, and calls through it: no call is made twice."""
