"""Rules: how the arrays of one layer stand in another library, and back; each is a permutation, a split or a sum."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from fnnet.errors import DataError, ShapeError

Arrays: TypeAlias = tuple[np.ndarray, ...]
Shapes: TypeAlias = tuple[tuple[int, ...], ...]
Axes: TypeAlias = Callable[[int], Sequence[int]]
"""The order of the axes in their array, as those of ours, for an array of so many axes."""


class Rule(NamedTuple):
    """What some arrays of a layer are in another library: names within the layer on both sides, and the ways between.

    ``to(ours, options) -> theirs``; ``back(theirs, shapes, options) -> ours``, with the shapes that ours are to have.
    `options` holds what is known of the layer beside its arrays: ``heads``, ``groups``, ``flattened``.
    A layer that has none of `ours` (a bias, say) has none of `theirs`.

    Law: ``back(to(ours)) = ours``, bit for bit.
    """

    ours: tuple[str, ...]
    theirs: tuple[str, ...]
    to: Callable[[Arrays, Mapping[str, Any]], Arrays]
    back: Callable[[Arrays, Shapes, Mapping[str, Any]], Arrays]


def out_first(rank: int) -> tuple[int, ...]:
    r"""Return the axes that make a kernel (\*space, in, out) one of (out, in, \*space).

    >>> from fnnet.layouts import rules
    >>> rules.out_first(2), rules.out_first(4)
    ((1, 0), (3, 2, 0, 1))
    """
    return (rank - 1, rank - 2, *range(rank - 2))


def move(ours: str, theirs: str, axes: Axes | None = None) -> Rule:
    """Return the rule that one array is another, with its axes permuted.

    >>> rule = fn.layouts.move("kernel", "weight", lambda rank: (1, 0))
    >>> rule.to((np.ones((2, 3)),), {})[0].shape
    (3, 2)
    """

    def to(arrays: Arrays, options: Mapping[str, Any]) -> Arrays:
        (a,) = arrays
        return (a if axes is None else a.transpose(axes(a.ndim)),)

    def back(arrays: Arrays, shapes: Shapes, options: Mapping[str, Any]) -> Arrays:
        (a,) = arrays
        return (a if axes is None else a.transpose(np.argsort(axes(a.ndim))),)

    return Rule((ours,), (theirs,), to, back)


def flattened_kernel(ours: str, theirs: str) -> Rule:
    """Return the rule of a dense kernel (in, out), theirs (out, in).

    With the option ``flattened=(C, H, W)`` its inputs are an image that they flatten channels first, and we last.
    """

    def to(arrays: Arrays, options: Mapping[str, Any]) -> Arrays:
        (a,) = arrays
        if "flattened" in options:
            channels, *space = _image(options["flattened"], a.shape[0])
            a = np.moveaxis(a.reshape(*space, channels, a.shape[1]), -2, 0).reshape(a.shape)
        return (a.T,)

    def back(arrays: Arrays, shapes: Shapes, options: Mapping[str, Any]) -> Arrays:
        (a,) = arrays
        a = a.T
        if "flattened" in options:
            image = _image(options["flattened"], a.shape[0])
            a = np.moveaxis(a.reshape(*image, a.shape[1]), 0, -2).reshape(a.shape)
        return (a,)

    return Rule((ours,), (theirs,), to, back)


def transposed_kernel(ours: str, theirs: str, *, channels_first: bool) -> Rule:
    r"""Return the rule of a transposed convolution's kernel, which they hold as that of the convolution it transposes.

    Ours (\*space, in / groups, out) correlates; theirs, flipped in space, is (\*space, out / groups, in), or
    (in, out / groups, \*space) if `channels_first`. With the option `groups` if there are several.
    """

    def flipped(a: np.ndarray, dims: int) -> np.ndarray:
        return np.flip(a, tuple(range(dims)))

    def to(arrays: Arrays, options: Mapping[str, Any]) -> Arrays:
        (a,) = arrays
        *space, n, out = a.shape
        groups = options.get("groups", 1)
        if out % groups:
            raise ShapeError(ours, f"groups={groups} must divide the features, {out}", "give the layer's own groups.")
        # (*space, n, groups, out / groups) -> (*space, out / groups, groups, n)
        split = np.swapaxes(a.reshape(*space, n, groups, out // groups), -1, -3)
        a = flipped(split.reshape(*space, out // groups, groups * n), len(space))
        return (a.transpose(out_first(a.ndim)) if channels_first else a,)

    def back(arrays: Arrays, shapes: Shapes, options: Mapping[str, Any]) -> Arrays:
        (a,), ((*_, n, _),) = arrays, shapes
        a = a.transpose(np.argsort(out_first(a.ndim))) if channels_first else a
        *space, one, every = a.shape
        groups = every // n
        split = np.swapaxes(flipped(a, len(space)).reshape(*space, one, groups, n), -1, -3)
        return (split.reshape(*space, n, groups * one),)

    return Rule((ours,), (theirs,), to, back)


def depthwise_kernel(ours: str, theirs: str) -> Rule:
    r"""Return the rule of a kernel (\*space, 1, groups · m), theirs (\*space, groups, m): the option `groups`."""

    def to(arrays: Arrays, options: Mapping[str, Any]) -> Arrays:
        (a,) = arrays
        return (a.reshape(*a.shape[:-2], _needed(options, "groups", ours), -1),)

    def back(arrays: Arrays, shapes: Shapes, options: Mapping[str, Any]) -> Arrays:
        (a,) = arrays
        return (a.reshape(*a.shape[:-2], 1, -1),)

    return Rule((ours,), (theirs,), to, back)


def heads_apart(ours: str, theirs: str, axis: int) -> Rule:
    """Return the rule of an array of which they split axis `axis`, heads · d, into two; needs the option `heads`."""

    def to(arrays: Arrays, options: Mapping[str, Any]) -> Arrays:
        (a,) = arrays
        return (a.reshape(*a.shape[:axis], _needed(options, "heads", ours), -1, *a.shape[axis + 1 :]),)

    def back(arrays: Arrays, shapes: Shapes, options: Mapping[str, Any]) -> Arrays:
        (a,) = arrays
        return (a.reshape(*a.shape[:axis], -1, *a.shape[axis + 2 :]),)

    return Rule((ours,), (theirs,), to, back)


def together(ours: Sequence[str], theirs: str, axes: Axes | None = None) -> Rule:
    """Return the rule of equal arrays that they hold as one, joined along its first axis after `axes`.

    >>> rule = fn.layouts.together(("a", "b"), "ab")
    >>> rule.to((np.zeros(2), np.ones(2)), {})
    (array([0., 0., 1., 1.]),)
    """

    def to(arrays: Arrays, options: Mapping[str, Any]) -> Arrays:
        return (np.concatenate([a if axes is None else a.transpose(axes(a.ndim)) for a in arrays]),)

    def back(arrays: Arrays, shapes: Shapes, options: Mapping[str, Any]) -> Arrays:
        parts = np.split(arrays[0], len(ours))
        return tuple(a if axes is None else a.transpose(np.argsort(axes(a.ndim))) for a in parts)

    return Rule(tuple(ours), (theirs,), to, back)


def apart(ours: str, theirs: Sequence[str]) -> Rule:
    """Return the rule of one array whose equal parts along the last axis they hold each by name: the gates.

    >>> rule = fn.layouts.apart("bias", ("i", "f"))
    >>> rule.to((np.array([1.0, 2.0]),), {})
    (array([1.]), array([2.]))
    """

    def to(arrays: Arrays, options: Mapping[str, Any]) -> Arrays:
        return tuple(np.split(arrays[0], len(theirs), axis=-1))

    def back(arrays: Arrays, shapes: Shapes, options: Mapping[str, Any]) -> Arrays:
        return (np.concatenate(arrays, axis=-1),)

    return Rule((ours,), tuple(theirs), to, back)


def reordered(ours: str, theirs: str, order: Sequence[int]) -> Rule:
    """Return the rule of one array whose equal parts along the last axis, the gates, they hold in another order."""

    def to(arrays: Arrays, options: Mapping[str, Any]) -> Arrays:
        return (_reorder(arrays[0], order),)

    def back(arrays: Arrays, shapes: Shapes, options: Mapping[str, Any]) -> Arrays:
        return (_reorder(arrays[0], np.argsort(order).tolist()),)

    return Rule((ours,), (theirs,), to, back)


def summed(ours: str, theirs: tuple[str, str]) -> Rule:
    """Return the rule of a bias that is the sum of two of theirs; the second is made zero."""

    def to(arrays: Arrays, options: Mapping[str, Any]) -> Arrays:
        return (arrays[0], np.zeros_like(arrays[0]))

    def back(arrays: Arrays, shapes: Shapes, options: Mapping[str, Any]) -> Arrays:
        first, second = arrays
        return (_plus(first, second),)

    return Rule((ours,), theirs, to, back)


def gru_biases(
    theirs: tuple[str, ...], parted: Callable[[np.ndarray, np.ndarray], Arrays], joined: Callable[[Arrays], Arrays]
) -> Rule:
    """Return the rule of ``bias`` and ``reset_bias`` where they add a bias to the input's product and to the state's.

    ``parted(input, state) -> theirs`` and ``joined(theirs) -> (input, state)`` place the two, gates in our order.
    """

    def to(arrays: Arrays, options: Mapping[str, Any]) -> Arrays:
        bias, reset = arrays
        return parted(bias, np.concatenate([np.zeros(2 * reset.size, reset.dtype), reset]))

    def back(arrays: Arrays, shapes: Shapes, options: Mapping[str, Any]) -> Arrays:
        inputs, state = joined(arrays)
        gates = 2 * (state.size // 3)
        return (np.concatenate([_plus(inputs[:gates], state[:gates]), inputs[gates:]]), state[gates:])

    return Rule(("bias", "reset_bias"), theirs, to, back)


def without(ours: str, reason: str) -> Rule:
    """Return the rule of an array that they do not have: it must be zero, and is zero on the way back."""

    def to(arrays: Arrays, options: Mapping[str, Any]) -> Arrays:
        if np.any(arrays[0] != 0):
            raise DataError(ours, f"must be zero: {reason}", "set it to zero and train on, or use another kind.")
        return ()

    def back(arrays: Arrays, shapes: Shapes, options: Mapping[str, Any]) -> Arrays:
        return (np.zeros(shapes[0], bool),)  # which any dtype holds

    return Rule((ours,), (), to, back)


def one_of_each(ours: str, theirs: str) -> Rule:
    """Return the rule of an array that they give an axis more, of size one, where ours is a scalar."""

    def to(arrays: Arrays, options: Mapping[str, Any]) -> Arrays:
        return (np.atleast_1d(arrays[0]),)

    def back(arrays: Arrays, shapes: Shapes, options: Mapping[str, Any]) -> Arrays:
        return (arrays[0].reshape(shapes[0]),)

    return Rule((ours,), (theirs,), to, back)


def _reorder(a: np.ndarray, order: Sequence[int]) -> np.ndarray:
    parts = np.split(a, len(order), axis=-1)
    return np.concatenate([parts[n] for n in order], axis=-1)


def _plus(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    # Where the second is zero the first stays to the bit: a sum would lose the sign of -0 and the payload of a NaN.
    return np.where(second == 0, first, first + second)


def _image(shape: Sequence[int], rows: int) -> tuple[int, ...]:
    if math.prod(shape) != rows:
        got = f"flattened={tuple(shape)}, of {math.prod(shape)} values"
        raise ShapeError("kernel", f"must have as many rows as the image has values, got {rows} and {got}", "give the "
            "shape (C, H, W) that goes into their flatten.")  # fmt: skip
    return tuple(shape)


def _needed(options: Mapping[str, Any], name: str, ours: str) -> int:
    if name not in options:
        raise DataError(ours, f"the number of {name} is not in the arrays", f"give it to the layout: {name}=….")
    return int(options[name])
