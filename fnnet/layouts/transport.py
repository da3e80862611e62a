"""Taking weights to a layout and back: every array has its place on both sides, or the error says which has none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from fnnet import tree
from fnnet.core import Params, State
from fnnet.errors import DataError, DtypeError, PathError, ShapeError, inside
from fnnet.layouts.libraries import Layout
from fnnet.layouts.matching import (
    Flat,
    Part,
    back,
    entry_path,
    found_names,
    given_names,
    joined,
    listed,
    own_names,
    parts_of,
)


def to_layout(params: Params, state: State, layout: Layout) -> dict[str, np.ndarray]:
    """Return the weights as another library names and shapes them: a flat dict of NumPy arrays.

    Where the layout has no `names`, theirs are our paths.
    Law: ``from_layout(to_layout(params, state, layout), layout, like=(params, state))`` is ``(params, state)``, bit for
    bit.
    Raises: PathError for a layer of a kind that the layout lacks, or without a name; DataError where the arrays do not
    tell what is needed, or two layers have one name.

    >>> params, state = fn.serial(fn.dense(3), jax.nn.relu, fn.dense(1)).init(jax.random.key(0), jnp.ones((1, 2)))
    >>> flat = fn.layouts.to_layout(params, state, fn.layouts.torch({"dense_0": "0", "dense_1": "2"}))
    >>> {name: array.shape for name, array in sorted(flat.items())}
    {'0.bias': (3,), '0.weight': (3, 2), '2.bias': (1,), '2.weight': (1, 3)}
    """
    where = f"to_layout ({layout.library})"
    parts = parts_of(where, params, state, layout)
    names = own_names(layout, parts) if layout.names is None else given_names(where, layout.names, layout, parts)
    leaves = {**tree.flatten(params), **tree.flatten(state)}
    flat: dict[str, np.ndarray] = {}
    for path, part in parts.items():
        whole = {entry: np.asarray(leaves[entry_path(path, entry)]) for entry in part.shapes}
        for n, name in enumerate(names[path]):
            ours = whole if part.copies is None else {entry: array[n] for entry, array in whole.items()}
            for entry, array in _to(part, ours).items():
                spelled = layout.spell_name(joined(layout, name, entry))
                if spelled in flat:
                    raise DataError(
                        where, f"{spelled!r} is the name of two arrays, of {path!r} too", "name them apart."
                    )
                flat[spelled] = np.asarray(array, order="C")
    return flat


def from_layout(flat: Mapping[str, Any], layout: Layout, *, like: tuple[Params, State]) -> tuple[Params, State]:
    """Return the parameters and the state that a flat dict of another library's arrays holds.

    `flat`: by name, arrays or what NumPy takes for one, as ``layouts.read(path)`` or ``model.state_dict()``. `like`:
    what ``net.init`` returned, or its shapes (``jax.eval_shape(net.init, key, x)``): values are not used; the dtypes
    are, to which theirs are widened.
    Where the layout has no `names`, they are found: by our own paths, else by kinds and shapes, several alike in the
    order of their numbers; what could be one or the other is an error.

    Raises: PathError that lists what is missing, unexpected and reshaped; ShapeError if all is of another shape alone;
    DtypeError for a wider dtype than ours.

    >>> net = fn.serial(fn.dense(3), jax.nn.relu, fn.dense(1))
    >>> theirs = {"0.weight": np.ones((3, 2)), "0.bias": np.ones(3), "2.weight": np.ones((1, 3)), "2.bias": np.zeros(1)}
    >>> theirs = {name: array.astype(np.float32) for name, array in theirs.items()}
    >>> like = jax.eval_shape(net.init, jax.random.key(0), jnp.ones((1, 2)))
    >>> params, state = fn.layouts.from_layout(theirs, fn.layouts.torch(), like=like)
    >>> net(params, jnp.ones((1, 2)))
    Array([[9.]], dtype=float32)
    """
    where = f"from_layout ({layout.library})"
    params, state = _pair(where, like)
    theirs = _read(where, flat, layout)
    parts = parts_of(where, params, state, layout)
    if layout.names is None:
        names = found_names(where, theirs, layout, parts)
    else:
        names = given_names(where, layout.names, layout, parts)
    _check_all_there(where, theirs, names, layout, parts)
    found: dict[str, np.ndarray] = {}
    for path, part in parts.items():
        copies = [_back(part, theirs, layout, name) for name in names[path]]
        for entry in part.shapes:
            arrays = [ours[entry] for ours in copies]
            found[entry_path(path, entry)] = arrays[0] if part.copies is None else np.stack(arrays)

    def placed(path: str, leaf: Any) -> Any:
        return _as(where, path, found[path], leaf)

    return tree.map_with_path(placed, params), tree.map_with_path(placed, state)


def _to(part: Part, ours: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    made: dict[str, np.ndarray] = {}
    with inside(part.path):
        for rule in part.rules:
            made |= dict(zip(rule.theirs, rule.to(tuple(ours[name] for name in rule.ours), part.options), strict=True))
    return made


def _back(part: Part, theirs: Flat, layout: Layout, name: str) -> dict[str, np.ndarray]:
    return back(part, lambda entry: theirs[joined(layout, name, entry)])


def _pair(where: str, like: Any) -> tuple[Params, State]:
    if not isinstance(like, tuple | list) or len(like) != 2:
        raise DataError(
            where, f"like must be (params, state), got {type(like).__name__}", "pass what net.init returned."
        )
    return like[0], like[1]


def _read(where: str, flat: Mapping[str, Any], layout: Layout) -> dict[str, np.ndarray]:
    """Return theirs by layer and entry, without what holds no weights."""
    theirs: dict[str, np.ndarray] = {}
    for spelled, value in flat.items():
        if re.search(layout.ignored, spelled):
            continue
        name = layout.read_name(spelled)
        if name in theirs:
            raise DataError(where, f"{spelled!r} is there twice", "pass the arrays of one network.")
        theirs[name] = _array(where, spelled, value)
    return theirs


def _array(where: str, name: str, value: Any) -> np.ndarray:
    try:
        array = np.asarray(value)
    except (
        TypeError,
        ValueError,
        RuntimeError,
    ) as error:  # a torch tensor on a GPU, or of bfloat16, is none of NumPy's
        fix = "pass arrays that NumPy takes, e.g. tensor.detach().cpu().float()."
        raise DataError(where, f"{name!r} cannot be made an array ({error})", fix) from error
    if array.dtype == object:
        got = type(value).__name__
        raise DataError(where, f"{name!r} must be an array, got {got}", "pass a flat dict: fn.tree.flatten(nested).")
    return array


def _check_all_there(
    where: str, theirs: Flat, names: Mapping[str, tuple[str, ...]], layout: Layout, parts: Mapping[str, Part]
) -> None:
    """Raise the error that lists what is missing, unexpected and of another shape."""
    layers = [(part, name) for path, part in parts.items() for name in names[path]]
    wanted = {
        joined(layout, name, entry): " and ".join(repr(entry_path(part.path, ours)) for ours in rule.ours)
        for part, name in layers
        for rule in part.rules
        for entry in rule.theirs
    }
    missing = [f"{layout.spell_name(name)!r} (for {ours})" for name, ours in wanted.items() if name not in theirs]
    unexpected = [f"{layout.spell_name(name)!r} {theirs[name].shape}" for name in theirs.keys() - wanted.keys()]
    words = [f"missing {listed(missing)}"] if missing else []
    words += [f"unexpected {listed(sorted(unexpected))}"] if unexpected else []
    reshaped = [
        problem
        for part, name in layers
        if all(joined(layout, name, entry) in theirs for entry in part.theirs)
        for problem in _reshaped(part, theirs, layout, name)
    ]
    words += [listed(reshaped)] if reshaped else []
    if words:
        kind = PathError if missing or unexpected else ShapeError
        fix = f"change the network or the names; theirs begins with {listed(map(layout.spell_name, theirs), 3)}."
        raise kind(where, "; ".join(words), fix)


def _reshaped(part: Part, theirs: Flat, layout: Layout, name: str) -> list[str]:
    """Return in words which of their arrays of one layer do not make ours."""
    problems = []
    for rule in part.rules:
        named = {layout.spell_name(n): theirs[n].shape for n in (joined(layout, name, entry) for entry in rule.theirs)}
        whole = ", ".join(f"{n!r} {shape}" for n, shape in named.items())
        try:
            made = _back(part._replace(rules=(rule,)), theirs, layout, name)
        except ShapeError as error:
            problems.append(f"{whole} for {part.path!r} {error.problem}")
            continue
        problems += [
            f"{whole} gives {array.shape} for {entry_path(part.path, entry)!r}, expected {part.shapes[entry]}"
            for entry, array in made.items()
            if array.shape != part.shapes[entry]
        ]
    return problems


def _as(where: str, path: str, array: np.ndarray, leaf: Any) -> Any:
    if not np.can_cast(array.dtype, leaf.dtype, "safe"):
        fix = f"cast theirs first, or make the network in {array.dtype}."
        raise DtypeError(where, f"{path!r} would be rounded: theirs is {array.dtype}, ours {leaf.dtype}", fix)
    return jnp.asarray(array.astype(leaf.dtype))
