"""Adam and its descendants."""

from __future__ import annotations

from fnnet.core import Optimizer
from fnnet.transforms.adam import scale_by_adam, scale_by_adamax, scale_by_amsgrad, scale_by_radam
from fnnet.transforms.chaining import chain
from fnnet.transforms.decay import Mask, add_decayed_weights
from fnnet.transforms.rate import scale_by_learning_rate
from fnnet.transforms.scalars import Number, ScalarOrSchedule


def adam(learning_rate: ScalarOrSchedule, b1: Number = 0.9, b2: Number = 0.999, eps: Number = 1e-8) -> Optimizer:
    r"""Adam (Kingma & Ba 2015, algorithm 1): :math:`\Delta\theta = -\eta\,\hat m / (\sqrt{\hat v} + \epsilon)`.

    ε is outside the root. See `fnnet.transforms.scale_by_adam` for the moments.

    >>> optimizer = adam(0.1)
    >>> updates, _ = optimizer.update({"w": jnp.array([3.0])}, optimizer.init({"w": jnp.ones(1)}))
    >>> round(float(updates["w"][0]), 5)
    -0.1
    """
    return chain(scale_by_adam(b1, b2, eps), scale_by_learning_rate(learning_rate))


def adamw(
    learning_rate: ScalarOrSchedule,
    b1: Number = 0.9,
    b2: Number = 0.999,
    eps: Number = 1e-8,
    weight_decay: Number = 1e-4,
    mask: Mask = None,
) -> Optimizer:
    r"""Adam with decoupled weight decay (Loshchilov & Hutter 2019, algorithm 2).

    :math:`\Delta\theta = -\eta(\hat m / (\sqrt{\hat v} + \epsilon) + \lambda\theta)` on the leaves in `mask` (all, if
    None); η multiplies the decay too. ``update`` needs the parameters.

    >>> optimizer = adamw(0.1, weight_decay=0.01, mask="*/kernel")
    >>> params = {"dense_0": {"kernel": jnp.ones((1, 1)), "bias": jnp.ones(1)}}
    >>> sorted(fn.transforms.hyperparams(optimizer.init(params)))
    ['0/b1', '0/b2', '0/eps', '1/weight_decay', '2/learning_rate']
    """
    return chain(
        scale_by_adam(b1, b2, eps), add_decayed_weights(weight_decay, mask), scale_by_learning_rate(learning_rate)
    )


def nadam(learning_rate: ScalarOrSchedule, b1: Number = 0.9, b2: Number = 0.999, eps: Number = 1e-8) -> Optimizer:
    r"""Adam with Nesterov's momentum (Dozat 2016), β₁ constant where the paper has a schedule of it.

    :math:`\Delta\theta = -\eta(\beta_1 m/(1-\beta_1^{t+1}) + (1-\beta_1) g/(1-\beta_1^t)) / (\sqrt{\hat v} +
    \epsilon)`.

    >>> optimizer = nadam(0.1)
    >>> updates, _ = optimizer.update({"w": jnp.array([0.1, -2.0])}, optimizer.init({"w": jnp.ones(2)}))
    >>> np.asarray(updates["w"]).round(3)
    array([-0.147,  0.147], dtype=float32)
    """
    return chain(scale_by_adam(b1, b2, eps, nesterov=True), scale_by_learning_rate(learning_rate))


def nadamw(
    learning_rate: ScalarOrSchedule,
    b1: Number = 0.9,
    b2: Number = 0.999,
    eps: Number = 1e-8,
    weight_decay: Number = 1e-4,
    mask: Mask = None,
) -> Optimizer:
    """`nadam` with decoupled weight decay on the leaves in `mask`, as in `adamw`. ``update`` needs the parameters.

    >>> params, optimizer = {"w": jnp.array([3.0, 4.0])}, nadamw(0.1, weight_decay=0.1)
    >>> updates, _ = optimizer.update({"w": jnp.array([0.1, -2.0])}, optimizer.init(params), params)
    >>> np.asarray(updates["w"]).round(3)
    array([-0.177,  0.107], dtype=float32)
    """
    return chain(
        scale_by_adam(b1, b2, eps, nesterov=True),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )


def adamax(learning_rate: ScalarOrSchedule, b1: Number = 0.9, b2: Number = 0.999, eps: Number = 1e-8) -> Optimizer:
    r"""Adam with the maximum norm (Kingma & Ba 2015, algorithm 2): :math:`\Delta\theta = -\eta\,\hat m / v`.

    :math:`v \leftarrow \max(\beta_2 v, |g| + \epsilon)`, without correction; the paper has no ε.

    >>> optimizer = adamax(0.1)
    >>> updates, _ = optimizer.update({"w": jnp.array([0.1, -2.0])}, optimizer.init({"w": jnp.ones(2)}))
    >>> np.asarray(updates["w"]).round(3)
    array([-0.1,  0.1], dtype=float32)
    """
    return chain(scale_by_adamax(b1, b2, eps), scale_by_learning_rate(learning_rate))


def amsgrad(learning_rate: ScalarOrSchedule, b1: Number = 0.9, b2: Number = 0.999, eps: Number = 1e-8) -> Optimizer:
    r"""Adam whose second moment never falls (Reddi et al. 2018): the largest corrected :math:`\hat v` so far.

    The paper corrects neither moment for bias.

    >>> optimizer = amsgrad(0.1)
    >>> updates, _ = optimizer.update({"w": jnp.array([0.1, -2.0])}, optimizer.init({"w": jnp.ones(2)}))
    >>> np.asarray(updates["w"]).round(3)
    array([-0.1,  0.1], dtype=float32)
    """
    return chain(scale_by_amsgrad(b1, b2, eps), scale_by_learning_rate(learning_rate))


def radam(
    learning_rate: ScalarOrSchedule,
    b1: Number = 0.9,
    b2: Number = 0.999,
    eps: Number = 1e-8,
    threshold: Number = 5.0,
) -> Optimizer:
    """Rectified Adam (Liu et al. 2020, algorithm 2): momentum alone until the second moment can be trusted.

    That is from the update at which the length of its average reaches `threshold`, which the paper puts at 4.

    >>> optimizer = radam(0.1)
    >>> updates, _ = optimizer.update({"w": jnp.array([0.1, -2.0])}, optimizer.init({"w": jnp.ones(2)}))
    >>> np.asarray(updates["w"]).round(3)
    array([-0.01,  0.2 ], dtype=float32)
    """
    return chain(scale_by_radam(b1, b2, eps, threshold), scale_by_learning_rate(learning_rate))
