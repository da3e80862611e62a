"""The second derivative of the loss: eigenvalues of the Hessian, its trace, its value along the gradient."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from fnnet import tree
from fnnet.core import Key, Task, TrainState
from fnnet.errors import DataError, DtypeError
from fnnet.inspection.checks import check_finite
from fnnet.inspection.landscapes import at_inference
from fnnet.shapes import check_count, check_key
from fnnet.training.checks import check_state, check_task, unpack


class Spectrum(NamedTuple):
    """Eigenvalues of the Hessian, ascending, and the weight of each in its spectral density; the weights sum to 1."""

    values: Float[Array, k]
    weights: Float[Array, k]


class Curvature(NamedTuple):
    """Numbers of the Hessian H at gradient g.

    `sharpness` is its greatest eigenvalue, `along_gradient` gᵀHg / gᵀg (nan where the gradient is 0), `trace` an
    estimate of the sum of its eigenvalues, `trace_error` that estimate's standard error.
    """

    sharpness: Float[Array, ""]
    along_gradient: Float[Array, ""]
    trace: Float[Array, ""]
    trace_error: Float[Array, ""]


def hessian_spectrum(task: Task, ts: TrainState, data: PyTree, *, k: int, key: Key) -> Spectrum:
    r"""Return k Ritz values of the Hessian of the objective of all of `data`, by Lanczos' method (Lanczos 1950).

    k products :math:`Hq` of the Hessian with a vector, each vector at a right angle to all before, the first drawn by
    `key`; memory grows as k times the parameters. The extreme values are the first to be eigenvalues. The weights, the
    squared first components of the eigenvectors of the tridiagonal matrix, make of the values an estimate of the
    spectral density (Ghorbani et al. 2019). The objective is the mean of the losses plus the penalty, the net run as at
    inference.

    Law: with k the number of parameters, values are all eigenvalues, up to rounding.
    Raises: ValueError unless 1 ≤ k ≤ the number of parameters; DtypeError unless these are real; DataError for data
    that is no ``(x, y)`` or not finite, or for a network without parameters.

    >>> task = fn.Task(fn.dense(1, bias_init=None), fn.losses.squared_error, fn.sgd(0.1))
    >>> x, y = jnp.array([[1.0, 0.0], [0.0, 2.0]]), jnp.zeros((2, 1))
    >>> found = hessian_spectrum(task, fn.init(task, jax.random.key(0), x), (x, y), k=2, key=jax.random.key(1))
    >>> found.values.round(4).tolist()
    [1.0, 4.0]
    """
    _check("hessian_spectrum", task, ts, data, key)
    size = tree.size(ts.params)
    if check_count("hessian_spectrum", "k", k) > size:
        raise ValueError(f"hessian_spectrum: k must be at most the number of parameters, {size}, got {k}")
    return _spectrum(task, k, ts, tree.map(jnp.asarray, data), key)


def curvature(
    task: Task, ts: TrainState, data: PyTree, key: Key, *, iterations: int = 32, probes: int = 32
) -> Curvature:
    r"""Return the sharpness of the objective of all of `data` at `ts`, its curvature along the gradient, and its trace.

    The sharpness is the greatest of as many Ritz values as `iterations` (see ``hessian_spectrum``), or as there are
    parameters if those are fewer. The trace is the mean of :math:`z^\top H z` over `probes` random vectors z of signs
    (Hutchinson 1990). Gradient descent at a rate above 2 / sharpness leaves the valley that it is in.

    Raises: ValueError unless `iterations` is at least 1 and `probes` at least 2; else as ``hessian_spectrum``.

    >>> task = fn.Task(fn.dense(1, bias_init=None), fn.losses.squared_error, fn.sgd(0.1))
    >>> x, y = jnp.array([[1.0, 0.0], [0.0, 2.0]]), jnp.zeros((2, 1))
    >>> found = curvature(task, fn.init(task, jax.random.key(0), x), (x, y), jax.random.key(1))
    >>> round(float(found.sharpness), 4), round(float(found.trace), 4), round(float(found.trace_error), 4)
    (4.0, 5.0, 0.0)
    """
    _check("curvature", task, ts, data, key)
    check_count("curvature", "iterations", iterations)
    check_count("curvature", "probes", probes, least=2)
    k = min(iterations, tree.size(ts.params))
    return _curvature(task, k, probes, ts, tree.map(jnp.asarray, data), key)


def _check(where: str, task: Task, ts: TrainState, data: PyTree, key: Key) -> None:
    check_task(task)
    check_state(where, ts)
    unpack(data)
    check_key(where, key, when="")
    if not tree.size(ts.params):
        raise DataError(where, "the network has no parameters", "pass one that has some.")
    check_finite(where, {"data": data, "params": ts.params})
    for path, leaf in tree.flatten(ts.params).items():
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise DtypeError(where, f"the parameters must be real floating-point, got {leaf.dtype} at {path!r}")


@partial(jax.jit, static_argnums=(0, 1))
def _spectrum(task: Task, k: int, ts: TrainState, data: PyTree, key: Key) -> Spectrum:
    point, _, product = _derivatives(task, ts, data)
    return _lanczos(product, point.size, k, key, point.dtype)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _curvature(task: Task, k: int, probes: int, ts: TrainState, data: PyTree, key: Key) -> Curvature:
    point, gradient, product = _derivatives(task, ts, data)
    for_lanczos, for_signs = jax.random.split(key)
    values = _lanczos(product, point.size, k, for_lanczos, point.dtype).values
    signs = jax.random.rademacher(for_signs, (probes, point.size), point.dtype)
    traces = jax.lax.map(lambda z: jnp.vdot(z, product(z)), signs)
    along = jnp.vdot(gradient, product(gradient)) / jnp.vdot(gradient, gradient)
    return Curvature(values[-1], along, traces.mean(), traces.std(ddof=1) / probes**0.5)


def _derivatives(task: Task, ts: TrainState, data: PyTree) -> tuple[Array, Array, Callable[[Array], Array]]:
    """Return the parameters as a vector, the gradient there, and the product of the Hessian with a vector."""
    point, unravel = ravel_pytree(ts.params)
    value = at_inference(task, ts, data)
    grad = jax.grad(lambda vector: value(unravel(vector)))
    gradient, product = jax.linearize(grad, point)
    return point, gradient, product


def _lanczos(product: Callable[[Array], Array], size: int, k: int, key: Key, dtype: Any) -> Spectrum:
    """Return the Ritz values of k steps, with full reorthogonalisation.

    Where the vectors so far span a space that the matrix keeps, the next one is another random one, uncoupled.
    """
    starts = jax.random.split(key, k)

    def across(vector: Array, basis: Array) -> Array:
        for _ in range(2):  # twice is enough (Parlett 1998, §6.9)
            vector = vector - basis.T @ (basis @ vector)
        return vector

    def fresh(key: Key, basis: Array) -> Array:
        vector = across(jax.random.normal(key, (size,), dtype), basis)
        return vector / jnp.linalg.norm(vector)

    def body(n: Array, carry: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        basis, q, diagonal, beside = carry
        basis = basis.at[n].set(q)
        image = product(q)
        rest = across(image, basis)
        length = jnp.linalg.norm(rest)
        scale = jnp.maximum(jnp.abs(diagonal).max(), jnp.linalg.norm(image))
        coupled = length > 10 * size**0.5 * jnp.finfo(dtype).eps * scale
        following = jnp.where(coupled, rest / jnp.where(coupled, length, 1), fresh(starts[n], basis))
        return basis, following, diagonal.at[n].set(jnp.vdot(q, image)), beside.at[n].set(jnp.where(coupled, length, 0))

    zeros = jnp.zeros(k, dtype)
    basis = jnp.zeros((k, size), dtype)
    with jax.default_matmul_precision("highest"):
        first = fresh(jax.random.fold_in(key, k), basis)
        _, _, diagonal, beside = jax.lax.fori_loop(0, k, body, (basis, first, zeros, zeros))
        matrix = jnp.diag(diagonal) + jnp.diag(beside[:-1], 1) + jnp.diag(beside[:-1], -1)
        values, vectors = jnp.linalg.eigh(matrix)
    return Spectrum(values, jnp.square(vectors[0]))
