"""Gradient descent, plain, with momentum, with the sign, and with the gradient's accumulated squares."""

from __future__ import annotations

from fnnet.core import Optimizer
from fnnet.transforms.chaining import chain
from fnnet.transforms.decay import Mask, add_decayed_weights
from fnnet.transforms.momentum import add_momentum
from fnnet.transforms.rate import scale_by_learning_rate
from fnnet.transforms.rms import scale_by_adadelta, scale_by_adagrad, scale_by_rms
from fnnet.transforms.scalars import Number, ScalarOrSchedule
from fnnet.transforms.trust import scale_by_lion


def sgd(learning_rate: ScalarOrSchedule, momentum: Number | None = None, *, nesterov: bool = False) -> Optimizer:
    r"""Gradient descent, :math:`\Delta\theta = -\eta g`; with `momentum` along the decaying sum of gradients.

    Momentum: :math:`v \leftarrow \mu v + g`, :math:`\Delta\theta = -\eta v`; with `nesterov`
    :math:`\Delta\theta = -\eta (g + \mu v)`. See `fnnet.transforms.add_momentum` for the conventions.
    Raises: ValueError if `nesterov` is asked for without momentum.

    >>> optimizer = sgd(0.5)
    >>> optimizer.update({"w": jnp.array([2.0])}, optimizer.init({"w": jnp.ones(1)}))[0]
    {'w': Array([-1.], dtype=float32)}
    """
    _check_nesterov("sgd", momentum, nesterov)
    rate = scale_by_learning_rate(learning_rate)
    return chain(rate) if momentum is None else chain(add_momentum(momentum, nesterov=nesterov), rate)


def adagrad(learning_rate: ScalarOrSchedule, initial_accumulator: Number = 0.1, eps: Number = 1e-7) -> Optimizer:
    r"""Adagrad (Duchi et al. 2011): :math:`\Delta\theta = -\eta g / \sqrt{a + \sum |g|^2 + \epsilon}`.

    ε is inside the root, and the sum starts at a = 0.1; the paper's is outside, and its sum starts at 0.

    >>> optimizer = adagrad(0.1)
    >>> updates, _ = optimizer.update({"w": jnp.array([0.1, -2.0])}, optimizer.init({"w": jnp.ones(2)}))
    >>> np.asarray(updates["w"]).round(3)
    array([-0.03 ,  0.099], dtype=float32)
    """
    return chain(scale_by_adagrad(initial_accumulator, eps), scale_by_learning_rate(learning_rate))


def rmsprop(
    learning_rate: ScalarOrSchedule,
    decay: Number = 0.9,
    eps: Number = 1e-8,
    *,
    centered: bool = False,
    momentum: Number | None = None,
    nesterov: bool = False,
) -> Optimizer:
    r"""RMSProp (Tieleman & Hinton 2012): :math:`\Delta\theta = -\eta g / \sqrt{v + \epsilon}`; see `scale_by_rms`.

    ε is inside the root. `momentum` is a decaying sum of the steps, each already multiplied by its learning rate.
    Raises: ValueError if `nesterov` is asked for without momentum.

    >>> optimizer = rmsprop(0.1)
    >>> updates, _ = optimizer.update({"w": jnp.array([0.1, -2.0])}, optimizer.init({"w": jnp.ones(2)}))
    >>> np.asarray(updates["w"]).round(3)
    array([-0.316,  0.316], dtype=float32)
    """
    _check_nesterov("rmsprop", momentum, nesterov)
    links = (scale_by_rms(decay, eps, centered=centered), scale_by_learning_rate(learning_rate))
    return chain(*links) if momentum is None else chain(*links, add_momentum(momentum, nesterov=nesterov))


def adadelta(learning_rate: ScalarOrSchedule = 1.0, rho: Number = 0.9, eps: Number = 1e-6) -> Optimizer:
    r"""Adadelta (Zeiler 2012, algorithm 1): :math:`\Delta\theta = -\eta g \sqrt{d + \epsilon} / \sqrt{v + \epsilon}`.

    The paper has no learning rate: η = 1.

    >>> optimizer = adadelta()
    >>> updates, _ = optimizer.update({"w": jnp.array([0.1, -2.0])}, optimizer.init({"w": jnp.ones(2)}))
    >>> np.asarray(updates["w"]).round(3)
    array([-0.003,  0.003], dtype=float32)
    """
    return chain(scale_by_adadelta(rho, eps), scale_by_learning_rate(learning_rate))


def lion(
    learning_rate: ScalarOrSchedule,
    b1: Number = 0.9,
    b2: Number = 0.99,
    weight_decay: Number = 1e-3,
    mask: Mask = None,
) -> Optimizer:
    r"""Lion: the sign of a mean of momentum and gradient (Chen et al. 2023, algorithm 2).

    :math:`\Delta\theta = -\eta(\mathrm{sign}(\beta_1 m + (1-\beta_1)g) + \lambda\theta)` with decoupled decay. Every
    element moves by η: choose it three to ten times below Adam's. ``update`` needs the parameters.

    >>> params, optimizer = {"w": jnp.array([3.0, 4.0])}, lion(0.1)
    >>> updates, _ = optimizer.update({"w": jnp.array([0.1, -2.0])}, optimizer.init(params), params)
    >>> np.asarray(updates["w"]).round(3)
    array([-0.1,  0.1], dtype=float32)
    """
    return chain(scale_by_lion(b1, b2), add_decayed_weights(weight_decay, mask), scale_by_learning_rate(learning_rate))


def _check_nesterov(where: str, momentum: Number | None, nesterov: bool) -> None:
    if nesterov and momentum is None:
        raise ValueError(f"{where}: nesterov needs a momentum, got momentum=None")
