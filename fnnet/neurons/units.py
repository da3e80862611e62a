"""McCulloch–Pitts units: boolean inputs, a threshold set by hand, absolute inhibition; and networks of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Int

from fnnet.compose import serial
from fnnet.core import Key, Layer, Params, Shaped, State
from fnnet.errors import DataError, DtypeError, ShapeError
from fnnet.shapes import align, check_count, check_rank

_MOST_INPUTS = 8  # of a truth table: 256 rows, each a unit at most


def threshold_layer(signs: ArrayLike | Sequence[Any], theta: ArrayLike | Sequence[Any]) -> Layer:
    r"""Threshold units side by side: :math:`y_j = 1` iff :math:`\sum_i x_i \ge \theta_j` over the excitatory inputs.

    `signs`, (n, units), says how input i meets unit j: 1 excitatory, -1 inhibitory, 0 not at all. `theta`, (units,).
    Inhibition is absolute: one active inhibitory input silences the unit.

    Shapes: (..., n) -> (..., units), of the dtype of the input: bool, integer or floating-point, whose values are 0 and
    1. It has no parameters: thresholds are set by hand.
    Raises: ValueError unless `signs` are 1, 0 and -1 in two axes and `theta` has one number a unit; ShapeError for
    another number of inputs; DataError for inputs that are not 0 or 1 (of arrays; the values within ``jit`` are not
    looked at); DtypeError for complex ones.

    McCulloch & Pitts 1943.

    >>> layer = fn.neurons.threshold_layer([[1, 1], [1, -1]], [2, 1])
    >>> layer({}, jnp.array([[1, 0], [1, 1]]))
    Array([[0, 1],
           [1, 0]], dtype=int32)
    """
    kinds, thresholds = np.asarray(signs), np.asarray(theta)
    if kinds.ndim != 2 or not np.isin(kinds, (-1, 0, 1)).all():
        raise ValueError(f"threshold_layer: signs must be a matrix (n, units) of 1, 0 and -1, got {signs!r}")
    numbers = thresholds.dtype.kind in "biuf"
    if not numbers or thresholds.shape != kinds.shape[1:] or not np.isfinite(thresholds).all():
        raise ValueError(f"threshold_layer: theta must hold a finite number a unit, {kinds.shape[1]}, got {theta!r}")
    inputs = kinds.shape[0]
    excitatory, inhibitory = (np.asarray(kinds == sign, np.float32) for sign in (1, -1))
    whole = np.asarray(np.ceil(thresholds), np.float32)  # as sums are whole numbers

    def init(key: Key, x: Shaped) -> tuple[Params, State]:
        _check_inputs(x, inputs)
        return {}, {}

    def apply(
        params: Params, state: State, x: Any, *, key: Key | None = None, train: bool = False
    ) -> tuple[Any, State]:
        _check_inputs(x, inputs)
        bits = jnp.asarray(x).astype(jnp.float32)
        excited = bits @ excitatory >= align(jnp.asarray(whole), bits)
        silenced = bits @ inhibitory > 0
        return (excited & ~silenced).astype(x.dtype), state

    return Layer("threshold", init, apply)


def threshold_unit(n: int, theta: float, inhibitory: Sequence[int] = ()) -> Layer:
    r"""One unit of n boolean inputs: :math:`y = 1` iff :math:`\sum x_i \ge \theta` and no inhibitory input is active.

    `inhibitory` are the positions, from 0, of the inputs that silence the unit and are not summed. The threshold is set
    by hand (McCulloch & Pitts 1943).

    Shapes: (..., n) -> (..., 1), of the dtype of the input.
    Law: the decision's normal is (1, …, 1) for every θ, which moves the line Σ xᵢ = θ and never turns it.
    Raises: ValueError for ``n < 1``, a `theta` that is no finite number, or positions that are none of an input; at
    use, errors as ``threshold_layer``.

    >>> unit = fn.neurons.threshold_unit(3, 1, inhibitory=[2])
    >>> unit({}, jnp.array([[1, 0, 0], [1, 0, 1]])).tolist()
    [[1], [0]]
    """
    check_count("threshold_unit", "n", n)
    if not np.iterable(inhibitory):
        raise ValueError(f"threshold_unit: inhibitory must be a sequence of positions, such as [1], got {inhibitory!r}")
    signs = np.ones((n, 1), int)
    for position in inhibitory:
        if not 0 <= check_count("threshold_unit", "a position of inhibitory", position, least=0) < n:
            raise ValueError(f"threshold_unit: inhibitory must hold positions of 0 to {n - 1}, got {position}")
        signs[position] = -1
    return threshold_layer(signs, [theta])


def and_gate(n: int = 2) -> Layer:
    """1 iff all n inputs are: a unit of θ = n.

    >>> fn.neurons.and_gate()({}, fn.neurons.boolean_inputs(2)).ravel().tolist()
    [0, 0, 0, 1]
    """
    return threshold_unit(n, n)


def or_gate(n: int = 2) -> Layer:
    """1 iff any of n inputs is: a unit of θ = 1.

    >>> fn.neurons.or_gate()({}, fn.neurons.boolean_inputs(2)).ravel().tolist()
    [0, 1, 1, 1]
    """
    return threshold_unit(n, 1)


def not_gate() -> Layer:
    """1 iff its input is 0: a unit of θ = 0 whose input is inhibitory.

    >>> fn.neurons.not_gate()({}, fn.neurons.boolean_inputs(1)).ravel().tolist()
    [1, 0]
    """
    return threshold_unit(1, 0, inhibitory=[0])


def nor_gate(n: int = 2) -> Layer:
    """1 iff none of n inputs is: a unit of θ = 0 whose inputs are all inhibitory.

    >>> fn.neurons.nor_gate()({}, fn.neurons.boolean_inputs(2)).ravel().tolist()
    [1, 0, 0, 0]
    """
    return threshold_unit(n, 0, inhibitory=range(n))


def nand_gate(n: int = 2) -> Layer:
    """1 unless all n inputs are: two units, NOT after AND.

    One unit with absolute inhibition cannot: each input is active in a row that fires, so none may be inhibitory, and
    excitatory inputs alone never turn a unit off. A unit with weights can: -Σ xᵢ ≥ -(n - 1).

    >>> fn.neurons.nand_gate()({}, fn.neurons.boolean_inputs(2)).ravel().tolist()
    [1, 1, 1, 0]
    """
    return serial(and_gate(n), not_gate())


def k_of_n(k: int, n: int) -> Layer:
    """1 iff at least k of n inputs are: a unit of θ = k.

    Raises: ValueError unless 0 ≤ k ≤ n.

    >>> fn.neurons.k_of_n(2, 3)({}, fn.neurons.boolean_inputs(3)).ravel().tolist()
    [0, 0, 0, 1, 0, 1, 1, 1]
    """
    check_count("k_of_n", "k", k, least=0)
    if k > check_count("k_of_n", "n", n):
        raise ValueError(f"k_of_n: k must be at most n = {n}, got {k}")
    return threshold_unit(n, k)


def majority(n: int) -> Layer:
    """1 iff more than half of n inputs are: a unit of θ = ⌊n/2⌋ + 1.

    >>> fn.neurons.majority(3)({}, jnp.array([[1, 1, 0], [0, 1, 0]])).ravel().tolist()
    [1, 0]
    """
    return k_of_n(check_count("majority", "n", n) // 2 + 1, n)


def boolean_inputs(n: int) -> Int[Array, "rows n"]:
    """Return all 2ⁿ rows of n boolean inputs, counting up in binary: the first input is the most significant.

    >>> fn.neurons.boolean_inputs(2).tolist()
    [[0, 0], [0, 1], [1, 0], [1, 1]]
    """
    check_count("boolean_inputs", "n", n)
    return jnp.asarray((np.arange(2**n)[:, None] >> np.arange(n)[::-1]) & 1, jnp.int32)


def boolean_network(truth_table: ArrayLike | Sequence[Any]) -> Layer:
    """Two layers of units that compute any boolean function of n ≤ 8 inputs, given by its 2ⁿ values.

    `truth_table`: 0s and 1s in the order of ``boolean_inputs(n)``, as 2ⁿ values or an array of n axes of two. The first
    layer has a unit for each row that is 1, which fires on it alone: what is 0 in the row inhibits it, and its θ is the
    number of 1s. The second is their OR. A table without a 1 has one unit that never fires.

    Shapes: (..., n) -> (..., 1), of the dtype of the input.
    Law: on ``boolean_inputs(n)`` it is the table, for every table.
    Raises: ValueError unless there are 2, 4, …, 256 values, in one axis or in axes of two, each 0 or 1.

    >>> xor = fn.neurons.boolean_network([0, 1, 1, 0])
    >>> xor({}, jnp.array([[0, 1], [1, 1]])).tolist()
    [[1], [0]]
    """
    table = np.asarray(truth_table)
    inputs = max(table.size, 1).bit_length() - 1
    if inputs < 1 or table.size != 2**inputs:
        raise ValueError(f"boolean_network: a table of n inputs must hold 2**n values, got {table.size}")
    if table.shape not in ((table.size,), (2,) * inputs):
        raise ValueError(
            f"boolean_network: a table of {inputs} inputs must have shape ({table.size},), its values in the order of "
            f"boolean_inputs({inputs}), or {inputs} axes of two, got {table.shape}"
        )
    table = table.ravel()
    if inputs > _MOST_INPUTS:
        raise ValueError(f"boolean_network: at most {_MOST_INPUTS} inputs, that is 256 values, got {inputs} inputs")
    if not np.isin(table, (0, 1)).all():
        wrong = table[~np.isin(table, (0, 1))][0]
        raise ValueError(f"boolean_network: the values of the table must be 0 or 1, got {wrong!r}")
    rows = np.asarray(boolean_inputs(inputs))[table == 1]
    if not len(rows):
        return serial(threshold_layer(np.ones((inputs, 1), int), [inputs + 1]), or_gate(1))
    return serial(threshold_layer(2 * rows.T - 1, rows.sum(1)), or_gate(len(rows)))


def _check_inputs(x: Any, inputs: int) -> None:
    """Raise unless `x` is an array (..., inputs) of 0s and 1s; of traced arrays the values are not known."""
    dtype = getattr(x, "dtype", None)
    if dtype is None or jnp.issubdtype(dtype, jnp.complexfloating):
        got = type(x).__name__ if dtype is None else str(dtype)
        raise DtypeError("threshold", f"the input must be an array of bools or numbers, got {got}", "pass an array.")
    check_rank("threshold", x, 1, "(..., n)")
    if x.shape[-1] != inputs:
        fix = f"pass arrays of shape (..., {inputs})."
        raise ShapeError("threshold", f"the last axis of the input must be {inputs}, got shape {tuple(x.shape)}", fix)
    if isinstance(x, jax.ShapeDtypeStruct | jax.core.Tracer):
        return
    values = np.asarray(x)
    if not (boolean := (values == 0) | (values == 1)).all():
        fix = "a unit of 1943 takes bits; for real inputs use fn.dense(1, activation=fn.activations.step)."
        raise DataError("threshold", f"the inputs must be 0 or 1, got {values[~boolean][0]}", fix)
