"""The layouts in which benchmarks are published, as formats of rows; each is one module."""
