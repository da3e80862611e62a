"""Transforms of gradients: the links that optimizers are chains of."""

from fnnet.transforms.adam import scale_by_adam
from fnnet.transforms.chain import as_optimizer, chain
from fnnet.transforms.hyperparams import as_leaves, hyperparams, with_hyperparams
from fnnet.transforms.rate import scale, scale_by_learning_rate

__all__ = [
    "as_leaves",
    "as_optimizer",
    "chain",
    "hyperparams",
    "scale",
    "scale_by_adam",
    "scale_by_learning_rate",
    "with_hyperparams",
]
