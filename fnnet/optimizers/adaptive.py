"""Adam and its descendants."""

from __future__ import annotations

from fnnet.core import Optimizer
from fnnet.transforms.adam import scale_by_adam
from fnnet.transforms.chain import chain
from fnnet.transforms.hyperparams import Number, ScalarOrSchedule
from fnnet.transforms.rate import scale_by_learning_rate


def adam(learning_rate: ScalarOrSchedule, b1: Number = 0.9, b2: Number = 0.999, eps: Number = 1e-8) -> Optimizer:
    r"""Adam (Kingma & Ba 2015, algorithm 1): :math:`\Delta\theta = -\eta\,\hat m / (\sqrt{\hat v} + \epsilon)`.

    ε is outside the root. See `fnnet.transforms.scale_by_adam` for the moments.

    >>> optimizer = adam(0.1)
    >>> optimizer.update({"w": jnp.array([3.0])}, optimizer.init({"w": jnp.ones(1)}))[0]["w"].round(4)
    Array([-0.1], dtype=float32)
    """
    return chain(scale_by_adam(b1, b2, eps), scale_by_learning_rate(learning_rate))
