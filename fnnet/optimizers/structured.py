"""Optimizers that look at a leaf as a whole, or at the whole loss: by layer, by matrix, by factor, by curvature."""

from __future__ import annotations

from jaxtyping import PyTree

from fnnet import tree
from fnnet.core import Optimizer, Params
from fnnet.optimizers.adaptive import adamw
from fnnet.transforms.adam import scale_by_adam
from fnnet.transforms.chaining import InitUpdate, chain
from fnnet.transforms.decay import Mask, add_decayed_weights, masked
from fnnet.transforms.momentum import add_momentum
from fnnet.transforms.orthogonal import scale_by_muon
from fnnet.transforms.quasi_newton import scale_by_lbfgs, scale_by_line_search
from fnnet.transforms.rate import scale_by_learning_rate
from fnnet.transforms.rms import scale_by_factored_rms
from fnnet.transforms.routing import route
from fnnet.transforms.scalars import Number, ScalarOrSchedule
from fnnet.transforms.trust import clip_by_leaf_rms, scale_by_parameter_rms, scale_by_trust_ratio


def lamb(
    learning_rate: ScalarOrSchedule,
    b1: Number = 0.9,
    b2: Number = 0.999,
    eps: Number = 1e-6,
    weight_decay: Number = 0.0,
    mask: Mask = None,
) -> Optimizer:
    r"""LAMB (You et al. 2020, algorithm 2): AdamW's direction, scaled leaf by leaf to the norm of the parameters.

    :math:`\Delta\theta = -\eta \lVert\theta\rVert\, r/\lVert r\rVert`, :math:`r = \hat m/(\sqrt{\hat v} + \epsilon) +
    \lambda\theta`; the ratio is 1 where a norm is 0. `mask` chooses the leaves that decay. ``update`` needs the
    parameters.

    >>> params, optimizer = {"w": jnp.array([3.0, 4.0])}, lamb(0.1)
    >>> updates, _ = optimizer.update({"w": jnp.array([0.1, -2.0])}, optimizer.init(params), params)
    >>> np.asarray(updates["w"]).round(3)
    array([-0.354,  0.354], dtype=float32)
    """
    return chain(
        scale_by_adam(b1, b2, eps),
        add_decayed_weights(weight_decay, mask),
        scale_by_trust_ratio(),
        scale_by_learning_rate(learning_rate),
    )


def lars(
    learning_rate: ScalarOrSchedule,
    momentum: Number = 0.9,
    weight_decay: Number = 0.0,
    trust_coefficient: Number = 0.001,
    eps: Number = 0.0,
    *,
    nesterov: bool = False,
    mask: Mask = None,
) -> Optimizer:
    r"""LARS (You et al. 2017, algorithm 1): momentum of gradients scaled leaf by leaf to the norm of the parameters.

    :math:`u = g + \lambda\theta`, :math:`v \leftarrow \mu v + \eta c\,u\lVert\theta\rVert/(\lVert u\rVert + \epsilon)`,
    :math:`\Delta\theta = -v`. Decay and scaling act on the leaves in `mask` alone: ``"*/kernel"`` leaves biases and the
    scales of norms to plain momentum, as is usual. ``update`` needs the parameters.

    >>> params, optimizer = {"w": jnp.array([3.0, 4.0])}, lars(0.1, trust_coefficient=1.0)
    >>> updates, _ = optimizer.update({"w": jnp.array([0.1, -2.0])}, optimizer.init(params), params)
    >>> np.asarray(updates["w"]).round(3)
    array([-0.025,  0.499], dtype=float32)
    """
    return chain(
        add_decayed_weights(weight_decay, mask),
        scale_by_trust_ratio(trust_coefficient, eps, mask),
        scale_by_learning_rate(learning_rate),
        add_momentum(momentum, nesterov=nesterov),
    )


def muon(
    learning_rate: ScalarOrSchedule = 0.02,
    momentum: Number = 0.95,
    *,
    nesterov: bool = True,
    iterations: int = 5,
    weight_decay: Number = 0.0,
    matrices: Mask = None,
    stacked: Mask = (),
    fallback: InitUpdate | None = None,
) -> Optimizer:
    r"""Muon (Jordan 2024): orthogonal steps for matrices, and `fallback` for every other leaf.

    Matrices are the leaves with two axes or more, of those that `matrices` chooses (all, if None); the author leaves
    embeddings and the last layer to the fallback, by default ``adamw(3e-4, weight_decay=0)``. Leaves in `stacked` are
    those of ``repeat`` and ``ensemble``, with an axis of copies in front, which is not counted: each copy is a matrix.
    Decay is decoupled, :math:`\Delta\theta = -\eta(u + \lambda\theta)`. See `fnnet.transforms.scale_by_muon`.
    State: a dict of ``matrix`` and ``other``. ``update`` needs the parameters.

    >>> params = {"dense_0": {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)}}
    >>> state = muon(0.02).init(params)
    >>> fn.tree.size(state["matrix"][0].velocity), fn.tree.size(state["other"][0].mu)
    (6, 3)
    """
    matrix = chain(
        scale_by_muon(momentum, nesterov=nesterov, iterations=iterations, stacked=stacked),
        add_decayed_weights(weight_decay),
        scale_by_learning_rate(learning_rate),
    )

    def label(params: Params) -> PyTree:
        chosen, copies = masked(params, matrices, "muon"), masked(params, stacked, "muon")
        return tree.map(lambda p, on, many: "matrix" if on and p.ndim - many >= 2 else "other", params, chosen, copies)

    return route(label, {"matrix": matrix, "other": adamw(3e-4, weight_decay=0.0) if fallback is None else fallback})


def adafactor(
    learning_rate: ScalarOrSchedule,
    decay_rate: Number = 0.8,
    eps: Number = 1e-30,
    *,
    max_rms: Number = 1.0,
    min_rms: Number | None = 1e-3,
    momentum: Number | None = None,
    weight_decay: Number = 0.0,
    mask: Mask = None,
    factor_from: int = 128,
) -> Optimizer:
    r"""Adafactor (Shazeer & Stern 2018, algorithms 4 and 5): Adam without momentum, in memory n + m for n · m.

    The factored direction is clipped to a root mean square of `max_rms` and multiplied by the parameters' own (at least
    `min_rms`; None: steps are absolute, not relative). Decay is decoupled and multiplied by η, on the leaves in `mask`.
    `momentum` keeps a running mean of these steps, as the authors' code does, and as much memory as the parameters.
    The paper's relative rate is the schedule :math:`\min(10^{-2}, 1/\sqrt{t})`. ``update`` needs the parameters.

    >>> params, optimizer = {"w": jnp.array([3.0, 4.0])}, adafactor(0.1)
    >>> updates, _ = optimizer.update({"w": jnp.array([0.1, -2.0])}, optimizer.init(params), params)
    >>> np.asarray(updates["w"]).round(3)
    array([-0.354,  0.354], dtype=float32)
    """
    links = [scale_by_factored_rms(decay_rate, eps, factor_from=factor_from), clip_by_leaf_rms(max_rms)]
    links += [] if min_rms is None else [scale_by_parameter_rms(min_rms)]
    links += [] if momentum is None else [add_momentum(momentum, mean=True)]
    return chain(*links, add_decayed_weights(weight_decay, mask), scale_by_learning_rate(learning_rate))


def lbfgs(memory: int = 10, *, c1: Number = 1e-4, c2: Number = 0.9, max_trials: int = 25) -> Optimizer:
    r"""L-BFGS (Nocedal & Wright 2006, algorithm 7.5) with a weak Wolfe search by bisection (Lewis & Overton 2013).

    For full batches. The search needs the loss itself: ``update(grads, opt_state, params, value=loss, grad=grads,
    value_fn=f)`` with f the loss as a function of the parameters, on the same data and key; without ``value`` and
    ``grad`` it evaluates f once more. The step length of the last update is in the state.
    Raises: ValueError if ``update`` is called without the parameters or ``value_fn``.

    >>> f = lambda params: jnp.sum((params["w"] - 3.0) ** 2)
    >>> params, optimizer = {"w": jnp.zeros(2)}, lbfgs()
    >>> state = optimizer.init(params)
    >>> for _ in range(4):
    ...     updates, state = optimizer.update(jax.grad(f)(params), state, params, value_fn=f)
    ...     params = fn.tree.add(params, updates)
    >>> bool(jnp.allclose(params["w"], 3.0))
    True
    """
    return chain(scale_by_lbfgs(memory), scale_by_line_search(c1, c2, max_trials=max_trials))
