"""Gradient descent, plain and with momentum."""

from __future__ import annotations

from fnnet.core import Optimizer
from fnnet.transforms.chain import chain
from fnnet.transforms.hyperparams import Number, ScalarOrSchedule
from fnnet.transforms.momentum import add_momentum
from fnnet.transforms.rate import scale_by_learning_rate


def sgd(learning_rate: ScalarOrSchedule, momentum: Number | None = None, *, nesterov: bool = False) -> Optimizer:
    r"""Gradient descent, :math:`\Delta\theta = -\eta g`; with `momentum` along the decaying sum of gradients.

    Momentum: :math:`v \leftarrow \mu v + g`, :math:`\Delta\theta = -\eta v`; with `nesterov`
    :math:`\Delta\theta = -\eta (g + \mu v)`. See `fnnet.transforms.add_momentum` for the conventions.
    Raises: ValueError if `nesterov` is asked for without momentum.

    >>> optimizer = sgd(0.5)
    >>> optimizer.update({"w": jnp.array([2.0])}, optimizer.init({"w": jnp.ones(1)}))[0]
    {'w': Array([-1.], dtype=float32)}
    """
    if momentum is None:
        if nesterov:
            raise ValueError("sgd: nesterov needs a momentum, got momentum=None")
        return chain(scale_by_learning_rate(learning_rate))
    return chain(add_momentum(momentum, nesterov=nesterov), scale_by_learning_rate(learning_rate))
