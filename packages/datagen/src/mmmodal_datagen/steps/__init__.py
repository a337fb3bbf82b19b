"""The steps of the paper's pipeline: a step is one module, or one folder of modules."""
