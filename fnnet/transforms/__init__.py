"""Gradient transformations: the parts that optimizers are chains of."""
