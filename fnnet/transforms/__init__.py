"""Transforms of gradients: the links that optimizers are chains of."""

from fnnet.transforms.accumulation import accumulate
from fnnet.transforms.adam import scale_by_adam, scale_by_adamax, scale_by_amsgrad, scale_by_radam
from fnnet.transforms.averages import average, averaged, polyak_average, with_average
from fnnet.transforms.chaining import InitUpdate, as_optimizer, chain
from fnnet.transforms.clip import clip_adaptively, clip_by_global_norm, clip_by_leaf_norm, clip_by_value
from fnnet.transforms.decay import add_decayed_weights
from fnnet.transforms.loss_scaling import dynamic_loss_scale
from fnnet.transforms.momentum import add_momentum
from fnnet.transforms.nonfinite import skip_nonfinite
from fnnet.transforms.orthogonal import orthogonalize, scale_by_muon
from fnnet.transforms.plateau import reduce_on_plateau
from fnnet.transforms.quasi_newton import scale_by_lbfgs, scale_by_line_search
from fnnet.transforms.rate import follow_schedules, scale, scale_by_learning_rate
from fnnet.transforms.rms import scale_by_adadelta, scale_by_adagrad, scale_by_factored_rms, scale_by_rms
from fnnet.transforms.routing import freeze, per_path, route
from fnnet.transforms.scalars import as_leaves, hyperparams, with_hyperparams
from fnnet.transforms.trust import clip_by_leaf_rms, scale_by_lion, scale_by_parameter_rms, scale_by_trust_ratio

__all__ = [
    "InitUpdate",
    "accumulate",
    "add_decayed_weights",
    "add_momentum",
    "as_leaves",
    "as_optimizer",
    "average",
    "averaged",
    "chain",
    "clip_adaptively",
    "clip_by_global_norm",
    "clip_by_leaf_norm",
    "clip_by_leaf_rms",
    "clip_by_value",
    "dynamic_loss_scale",
    "follow_schedules",
    "freeze",
    "hyperparams",
    "orthogonalize",
    "per_path",
    "polyak_average",
    "reduce_on_plateau",
    "route",
    "scale",
    "scale_by_adadelta",
    "scale_by_adagrad",
    "scale_by_adam",
    "scale_by_adamax",
    "scale_by_amsgrad",
    "scale_by_factored_rms",
    "scale_by_lbfgs",
    "scale_by_learning_rate",
    "scale_by_line_search",
    "scale_by_lion",
    "scale_by_muon",
    "scale_by_parameter_rms",
    "scale_by_radam",
    "scale_by_rms",
    "scale_by_trust_ratio",
    "skip_nonfinite",
    "with_average",
    "with_hyperparams",
]
