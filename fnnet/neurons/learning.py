"""Rosenblatt's perceptron: unit and learning rule as one compiled loop, which always ends."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

from fnnet.activations import step
from fnnet.core import Key, Layer, Params, Shaped, State
from fnnet.errors import ShapeError
from fnnet.layers import dense
from fnnet.neurons.checks import check_examples, check_labels, check_rate, check_two_classes
from fnnet.neurons.delta import Adaline
from fnnet.neurons.separation import Certificate, Margin
from fnnet.neurons.thresholds import append_one
from fnnet.shapes import check_count, check_last_axis, parameter

Kernel: TypeAlias = Callable[[Array, Array], Array]
"""``kernel(x, z) -> number`` of two vectors: the scalar product of what they are mapped to."""


class Perceptron(NamedTuple):
    """What was learnt, and how: `kernel` (n, units) and `bias` (units,), of one unit or one a class.

    `mistakes` counts the updates, `passes` the times that all examples were gone through; `converged` says that the
    last pass made no mistake.
    """

    kernel: Float[Array, "n units"]
    bias: Float[Array, units]
    mistakes: Int[Array, ""]
    passes: Int[Array, ""]
    converged: Bool[Array, ""]

    @property
    def theta(self) -> Float[Array, units]:
        """The threshold: the unit fires iff Σ wᵢxᵢ ≥ θ, and θ is the bias with the other sign."""
        return -self.bias

    def __str__(self) -> str:
        return _told(self)


class KernelPerceptron(NamedTuple):
    r"""What was learnt, and how: a coefficient for each example, whose sum with the kernel decides.

    It fires iff :math:`\sum_j c_j k(x_j, x) \ge 0`; `coefficients` (rows,) are 0 where no mistake was made.
    """

    coefficients: Float[Array, rows]
    points: Float[Array, "rows n"]
    mistakes: Int[Array, ""]
    passes: Int[Array, ""]
    converged: Bool[Array, ""]

    def __str__(self) -> str:
        return _told(self)


def perceptron(
    x: ArrayLike, y: ArrayLike, *, learning_rate: float = 1.0, passes: int = 1000, key: Key | None = None
) -> Perceptron:
    r"""Learn one unit by its mistakes: :math:`w \leftarrow w + \eta\,(y - \hat y)\,x`, until a pass makes none.

    `x` (rows, n), `y` (rows,) of 0 and 1, or of -1 and 1. The unit fires, ŷ = 1, iff w·x + b ≥ 0; all starts at zero,
    and the bias is the weight of an input of 1. Examples are gone through in their order, or with a `key` in a new
    random order each pass; after `passes` of them it ends, whatever the data: ``converged`` says how.

    Law: data separable with margin γ and radius R cost at most (R/γ)² mistakes, whatever the order (``margin`` gives
    both). The learning rate scales the weights and changes no decision.
    Pure, and compiled as one loop: ``vmap`` it over data sets, keys or rates.
    Raises: ShapeError unless the shapes fit; DtypeError for what is no number; DataError for data that are empty or not
    finite, and labels of other than two classes; ValueError for ``passes < 1`` and a rate that is not above 0.

    Rosenblatt 1958; the bound: Novikoff 1962.

    >>> bits = fn.neurons.boolean_inputs(2).astype(jnp.float32)
    >>> print(fn.neurons.perceptron(bits, jnp.array([0, 0, 0, 1])))
    converged after 6 passes with 11 mistakes
    >>> print(fn.neurons.perceptron(bits, jnp.array([0, 1, 1, 0]), passes=50))
    did not converge in 50 passes with 198 mistakes
    """
    x, y = _two_classes("perceptron", x, y)
    check_count("perceptron", "passes", passes)
    check_rate("perceptron", learning_rate)
    return _perceptron(x, y, learning_rate, passes, key)


def averaged_perceptron(
    x: ArrayLike, y: ArrayLike, *, learning_rate: float = 1.0, passes: int = 10, key: Key | None = None
) -> Perceptron:
    """Learn as ``perceptron``, and return the mean of its weights over all examples gone through.

    For data that no plane separates: the last weights jump with each mistake, their mean does not. `mistakes`, `passes`
    and `converged` are those of the learning.

    Raises: as ``perceptron``. Freund & Schapire 1999, §3.

    >>> bits = fn.neurons.boolean_inputs(2).astype(jnp.float32)
    >>> int(fn.neurons.averaged_perceptron(bits, jnp.array([0, 0, 0, 1])).passes)
    6
    """
    x, y = _two_classes("averaged_perceptron", x, y)
    check_count("averaged_perceptron", "passes", passes)
    check_rate("averaged_perceptron", learning_rate)
    return _averaged(x, y, learning_rate, passes, key)


def pocket_perceptron(
    x: ArrayLike, y: ArrayLike, *, learning_rate: float = 1.0, passes: int = 100, key: Key | None = None
) -> Perceptron:
    """Learn as ``perceptron``, and return the weights, of all it had, that decided most of the examples rightly.

    For data that no plane separates. After each mistake the new weights are tried on all examples, and go into the
    pocket if they are better than what is there (Gallant 1990, with his ratchet).

    Law: its share of right decisions is at least that of ``perceptron`` from the same passes.
    Raises: as ``perceptron``.

    >>> bits = fn.neurons.boolean_inputs(2).astype(jnp.float32)
    >>> xor = fn.neurons.pocket_perceptron(bits, jnp.array([0, 1, 1, 0]), key=jax.random.key(0))
    >>> layer, params = fn.neurons.as_layer(xor)
    >>> int((layer(params, bits)[:, 0] == jnp.array([0.0, 1.0, 1.0, 0.0])).sum())
    3
    """
    x, y = _two_classes("pocket_perceptron", x, y)
    check_count("pocket_perceptron", "passes", passes)
    check_rate("pocket_perceptron", learning_rate)
    return _pocket(x, y, learning_rate, passes, key)


def multiclass_perceptron(
    x: ArrayLike, y: ArrayLike, classes: int, *, learning_rate: float = 1.0, passes: int = 1000, key: Key | None = None
) -> Perceptron:
    r"""Learn one unit a class, of which the greatest decides.

    On a mistake :math:`w_y \leftarrow w_y + \eta x` and :math:`w_{\hat y} \leftarrow w_{\hat y} - \eta x`. `y` (rows,)
    holds 0 to ``classes - 1``. Of equal units the first decides. Otherwise as ``perceptron``.

    Law: for two classes the mistakes are those of ``perceptron``, where no example lies on the line.
    Raises: as ``perceptron``; DtypeError for labels that are no integers. Duda & Hart 1973, §5.12 (Kesler).

    >>> x = jnp.array([[0.0, 1.0], [1.0, 0.0], [-1.0, -1.0]])
    >>> bool(fn.neurons.multiclass_perceptron(x, jnp.array([0, 1, 2]), 3).converged)
    True
    """
    where = "multiclass_perceptron"
    x, y = check_examples(where, x, y)
    y = check_labels(where, y, check_count(where, "classes", classes, least=2))
    check_count(where, "passes", passes)
    check_rate(where, learning_rate)
    return _multiclass(x, y, classes, learning_rate, passes, key)


def kernel_perceptron(
    x: ArrayLike, y: ArrayLike, kernel: Kernel, *, passes: int = 100, key: Key | None = None
) -> KernelPerceptron:
    r"""Learn as ``perceptron`` in the space of a kernel: a mistake adds ±1 to the example's coefficient.

    ``kernel(x, z) -> number`` of two vectors (n,) must be symmetric and positive semidefinite, as ``1 + x @ z`` is. It
    is called for all pairs of rows, once: rows² numbers are held.

    Law: with :math:`k(x, z) = 1 + x \cdot z` it makes the mistakes of ``perceptron`` of rate 1.
    Raises: as ``perceptron``; TypeError for a kernel that is no function, ShapeError if it does not return one number.

    Aizerman et al. 1964.

    >>> bits = fn.neurons.boolean_inputs(2).astype(jnp.float32)
    >>> print(fn.neurons.kernel_perceptron(bits, jnp.array([0, 1, 1, 0]), lambda x, z: (1 + x @ z) ** 2))
    converged after 10 passes with 21 mistakes
    """
    x, y = _two_classes("kernel_perceptron", x, y)
    check_count("kernel_perceptron", "passes", passes)
    if not callable(kernel):
        raise TypeError(f"kernel_perceptron: kernel must be a function of two vectors, such as jnp.dot, got {kernel!r}")
    return _kernel(x, y, kernel, passes, key)


def as_layer(
    learnt: Perceptron | KernelPerceptron | Adaline | Margin | Certificate, kernel: Kernel | None = None
) -> tuple[Layer, Params]:
    """Return what was learnt as a layer with its parameters: (..., n) -> (..., units).

    One unit is ``dense(1, activation=step)``, 1 where it fires and else 0. Units of several classes are
    ``dense(classes)``, whose greatest output decides. What `kernel_perceptron` learnt needs the same `kernel`. The
    planes of ``margin`` and of ``separable`` are units too; they are rounded to JAX's default float type.

    Raises: TypeError for a kernel where none was used, or none where one was; for a certificate that no plane
    separates; for what no function of this module returned.

    >>> learnt = fn.neurons.perceptron(jnp.array([[0.0], [1.0]]), jnp.array([0, 1]))
    >>> layer, params = fn.neurons.as_layer(learnt)
    >>> layer(params, jnp.array([[-3.0], [4.0]])).tolist()
    [[0.0], [1.0]]
    """
    if isinstance(learnt, KernelPerceptron):
        if kernel is None:
            raise TypeError("as_layer: a KernelPerceptron needs the kernel that it was learnt with")
        return _kernel_unit(kernel), {"coefficients": learnt.coefficients, "points": learnt.points}
    if not isinstance(learnt, Perceptron | Adaline | Margin | Certificate):
        raise TypeError(f"as_layer: learnt must be what a function of fn.neurons returned, got {learnt!r}")
    if kernel is not None:
        raise TypeError(f"as_layer: a {type(learnt).__name__} was learnt without a kernel, got {kernel!r}")
    if isinstance(learnt, Certificate) and not learnt.separable:
        raise TypeError("as_layer: a Certificate that no plane separates holds no unit; try pocket_perceptron")
    if isinstance(learnt, Margin | Certificate):
        plane = jnp.asarray(learnt.kernel, float)[:, None], jnp.asarray(learnt.bias, float)[None]
        return dense(1, activation=step), {"kernel": plane[0], "bias": plane[1]}
    units = learnt.kernel.shape[-1]
    layer = dense(units, activation=step if units == 1 else None)
    return layer, {"kernel": learnt.kernel, "bias": learnt.bias}


def _kernel_unit(kernel: Kernel) -> Layer:
    def init(key: Key, x: Shaped) -> tuple[Params, State]:
        raise TypeError("as_layer: a kernel unit has the parameters that were learnt, and none to begin with")

    def apply(
        params: Params, state: State, x: Any, *, key: Key | None = None, train: bool = False
    ) -> tuple[Any, State]:
        points = parameter("kernel_unit", params, "points")
        check_last_axis("kernel_unit", x, points.shape[-1])
        rows = jnp.asarray(x).reshape(-1, x.shape[-1])
        sums = _gram(kernel, rows, points) @ parameter("kernel_unit", params, "coefficients")
        return step(sums).reshape(*x.shape[:-1], 1), state

    return Layer("kernel_unit", init, apply)


def _told(learnt: Perceptron | KernelPerceptron) -> str:
    if isinstance(learnt.converged, jax.core.Tracer):
        return repr(learnt)
    converged, passes, mistakes = (np.asarray(part) for part in (learnt.converged, learnt.passes, learnt.mistakes))
    if converged.ndim:
        course = f"at most {passes.max()} passes with at most {mistakes.max()} mistakes"
        return f"{converged.sum()} of {converged.size} converged, in {course}"
    how = "converged after" if converged else "did not converge in"
    return f"{how} {passes} passes with {mistakes} mistakes"


def _two_classes(where: str, x: Any, y: Any) -> tuple[Float[Array, "rows n"], Float[Array, rows]]:
    """Return the examples with labels of 0 and 1."""
    x, y = check_examples(where, x, y)
    check_two_classes(where, y)
    return x, (y > 0).astype(x.dtype)


_Visit: TypeAlias = Callable[[Any, Array], tuple[Any, Array]]
"""``visit(carry, row) -> (carry, mistaken)``: one example is looked at."""


def _go_through(visit: _Visit, carry: Any, rows: int, passes: Any, key: Key | None) -> tuple[Any, Array, Array, Array]:
    """Visit all rows again and again until a pass makes no mistake, `passes` times at most."""

    def one_pass(loop: tuple[Any, Array, Array, Array]) -> tuple[Any, Array, Array, Array]:
        carry, mistakes, done, _ = loop
        order = jnp.arange(rows) if key is None else jax.random.permutation(jax.random.fold_in(key, done), rows)
        carry, wrong = lax.scan(visit, carry, order)
        made = wrong.sum(dtype=jnp.int32)
        return carry, mistakes + made, done + 1, made == 0

    def goes_on(loop: tuple[Any, Array, Array, Array]) -> Array:
        return ~loop[3] & (loop[2] < passes)

    zero = jnp.zeros((), jnp.int32)
    return lax.while_loop(goes_on, one_pass, (carry, zero, zero, jnp.zeros((), bool)))


def _update(w: Array, row: Array, target: Array, rate: Array) -> tuple[Array, Array]:
    """Return the weights of one unit after one example, whose first input is 1, and whether it was a mistake."""
    error = target - step(w @ row)
    return w + rate * error * row, error != 0


@jax.jit
def _perceptron(x: Array, y: Array, rate: Any, passes: Any, key: Key | None) -> Perceptron:
    inputs, rate = append_one(x), jnp.asarray(rate, x.dtype)

    def visit(w: Array, n: Array) -> tuple[Array, Array]:
        return _update(w, inputs[n], y[n], rate)

    w, *course = _go_through(visit, jnp.zeros(inputs.shape[1], x.dtype), len(y), passes, key)
    return Perceptron(w[1:, None], w[:1], *course)


@jax.jit
def _averaged(x: Array, y: Array, rate: Any, passes: Any, key: Key | None) -> Perceptron:
    inputs, rate = append_one(x), jnp.asarray(rate, x.dtype)

    def visit(carry: tuple[Array, Array, Array], n: Array) -> tuple[tuple[Array, Array, Array], Array]:
        w, mean, seen = carry
        w, wrong = _update(w, inputs[n], y[n], rate)
        return (w, mean + (w - mean) / (seen + 1), seen + 1), wrong

    zeros = jnp.zeros(inputs.shape[1], x.dtype)
    (_, mean, _), *course = _go_through(visit, (zeros, zeros, jnp.zeros((), x.dtype)), len(y), passes, key)
    return Perceptron(mean[1:, None], mean[:1], *course)


@jax.jit
def _pocket(x: Array, y: Array, rate: Any, passes: Any, key: Key | None) -> Perceptron:
    inputs, rate = append_one(x), jnp.asarray(rate, x.dtype)

    def rights(w: Array) -> Array:
        return jnp.sum(step(inputs @ w) == y, dtype=jnp.int32)

    def visit(carry: tuple[Array, Array, Array], n: Array) -> tuple[tuple[Array, Array, Array], Array]:
        w, pocket, best = carry
        w, wrong = _update(w, inputs[n], y[n], rate)
        now = rights(w)
        better = now > best
        return (w, jnp.where(better, w, pocket), jnp.where(better, now, best)), wrong

    zeros = jnp.zeros(inputs.shape[1], x.dtype)
    (_, pocket, _), *course = _go_through(visit, (zeros, zeros, rights(zeros)), len(y), passes, key)
    return Perceptron(pocket[1:, None], pocket[:1], *course)


@partial(jax.jit, static_argnums=2)
def _multiclass(x: Array, y: Array, classes: int, rate: Any, passes: Any, key: Key | None) -> Perceptron:
    inputs, rate = append_one(x), jnp.asarray(rate, x.dtype)

    def visit(w: Array, n: Array) -> tuple[Array, Array]:
        guess = jnp.argmax(inputs[n] @ w)
        difference = jax.nn.one_hot(y[n], classes, dtype=w.dtype) - jax.nn.one_hot(guess, classes, dtype=w.dtype)
        return w + rate * jnp.outer(inputs[n], difference), guess != y[n]

    w, *course = _go_through(visit, jnp.zeros((inputs.shape[1], classes), x.dtype), len(y), passes, key)
    return Perceptron(w[1:], w[0], *course)


@partial(jax.jit, static_argnums=2)
def _kernel(x: Array, y: Array, kernel: Kernel, passes: Any, key: Key | None) -> KernelPerceptron:
    gram = _gram(kernel, x, x)

    def visit(coefficients: Array, n: Array) -> tuple[Array, Array]:
        error = y[n] - step(coefficients @ gram[n])
        return coefficients.at[n].add(error), error != 0

    coefficients, *course = _go_through(visit, jnp.zeros(len(y), x.dtype), len(y), passes, key)
    return KernelPerceptron(coefficients, x, *course)


def _gram(kernel: Kernel, rows: Array, points: Array) -> Float[Array, "rows points"]:
    """Return the kernel of each row with each point."""
    values = jax.vmap(lambda row: jax.vmap(lambda point: jnp.asarray(kernel(row, point)))(points))(rows)
    if values.ndim != 2:
        got = f"an array of shape {values.shape[2:]}"
        raise ShapeError("kernel_perceptron", f"the kernel must return one number, got {got}", "reduce it, e.g. sum.")
    return values.astype(points.dtype)
