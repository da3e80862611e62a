"""Which layer of theirs is which of ours: by the names that are given, or found by kinds, shapes and numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from fnnet import tree
from fnnet.core import Params, State
from fnnet.errors import DataError, FnnetError, PathError, ShapeError, near_matches
from fnnet.layouts.kinds import PROJECTIONS, TORCH, kind_of
from fnnet.layouts.libraries import Layout, Names
from fnnet.layouts.rules import Rule

Flat = Mapping[str, np.ndarray]


class Part(NamedTuple):
    """A layer of ours, what it is in a layout, and what its arrays do not tell.

    `copies`: how many a ``repeat`` or ``ensemble`` has stacked, where the layout names each; `shapes` are those of one.
    """

    path: str
    kind: str
    rules: tuple[Rule, ...]
    shapes: dict[str, tuple[int, ...]]
    copies: int | None
    options: dict[str, Any]

    @property
    def theirs(self) -> list[str]:
        """Return the names of their entries."""
        return [name for rule in self.rules for name in rule.theirs]


def parts_of(where: str, params: Params, state: State, layout: Layout) -> dict[str, Part]:
    """Return the layers of a network by path, with the rules of the layout for the entries that they have.

    Raises: PathError for an entry without a rule, or a path in the layout's arguments that is none of the network's.
    """
    leaves = {**tree.flatten(params), **tree.flatten(state)}
    if len(leaves) < len(tree.flatten(params)) + len(tree.flatten(state)):
        raise DataError(where, "parameters and state have a path in common", "pass those that init made.")
    entries: dict[str, dict[str, tuple[int, ...]]] = {}
    for path, leaf in leaves.items():
        layer, entry = _layer_of(path, leaves, layout)
        entries.setdefault(layer, {})[entry] = tuple(leaf.shape)
    for argument in (layout.chosen, *(option for option in layout.options.values() if isinstance(option, Mapping))):
        _check_paths(where, argument, entries)
    return {path: _part(where, path, shapes, layout) for path, shapes in entries.items()}


def given_names(where: str, names: Names, layout: Layout, parts: Mapping[str, Part]) -> dict[str, tuple[str, ...]]:
    """Return their names of each layer, one for each copy, by the mapping given for it or the nearest parent.

    Raises: PathError for a layer without a name, or a name for none.
    """
    keys = {path: _longest(names, path) for path in parts}
    unnamed = [path for path, key in keys.items() if key is None]
    if unnamed:
        problem = f"names must have {listed(unnamed)}, or a parent, got {listed(names)}"
        raise PathError(where, problem, "add their names, or give none to have them found.")
    _check_paths(where, dict.fromkeys(names), {*parts, *(key for key in keys.values() if key is not None)})
    given = {path: _below(names[key], path[len(key) :], layout) for path, key in keys.items() if key is not None}
    for path, several in given.items():
        if parts[path].copies not in (None, len(several)):
            problem = f"{path!r} has {parts[path].copies} copies, got {len(several)} names: {listed(several)}"
            raise PathError(where, problem, "give one name for each copy, or one name alone where nothing is stacked.")
    return given


def own_names(layout: Layout, parts: Mapping[str, Part]) -> dict[str, tuple[str, ...]]:
    """Return our own paths as their names."""
    return {path: (path.replace("/", layout.separator),) for path in parts}


def found_names(where: str, theirs: Flat, layout: Layout, parts: Mapping[str, Part]) -> dict[str, tuple[str, ...]]:
    """Return their name of each layer: our own path, if all are there; else that of the same kind and shapes.

    Several alike are taken in the order of the numbers in their names, ``conv_0``, ``conv_1``, and only if nothing else
    in the names differs: files and trees keep no order.
    Raises: PathError where none fits, or where more than one could.
    """
    own = own_names(layout, parts)
    if all(joined(layout, own[path][0], entry) in theirs for path, part in parts.items() for entry in part.theirs):
        return own
    alike: dict[Any, list[str]] = {}
    for path, part in parts.items():
        alike.setdefault((part.kind, _is_backward(path), *sorted(part.shapes.items())), []).append(path)
    names: dict[str, tuple[str, ...]] = {}
    problems, rest, held = [], set(theirs), _held(theirs, layout)
    for paths in sorted(alike.values(), key=lambda paths: -len(parts[paths[0]].theirs)):
        part = parts[paths[0]]
        fitting = _fitting(part, theirs, rest, held, layout)
        if len(fitting) != len(paths) or (len(paths) > 1 and not _differ_by_number(paths, fitting)):
            problems.append(_unclear(paths, fitting, part))
            continue
        for path, name in zip(sorted(paths, key=_numbers), sorted(fitting, key=_numbers), strict=True):
            names[path] = (name,)
            rest -= {joined(layout, name, entry) for entry in part.theirs}
    if problems:
        left = listed(sorted(f"{layout.spell_name(name)} {theirs[name].shape}" for name in rest), 8)
        problem = f"{'; '.join(problems)}. Left in theirs: {left or 'nothing'}"
        fix = f"say which is which, layouts.{layout.library}({{{paths_example(parts)}: …}}), or change the network."
        raise PathError(where, problem, fix)
    return names


def joined(layout: Layout, layer: str, entry: str) -> str:
    """Return the name of an entry of theirs."""
    return f"{layer}{layout.separator}{entry}" if layer else entry


def entry_path(path: str, entry: str) -> str:
    """Return the path of an entry of ours."""
    return f"{path}/{entry}" if path else entry


def back(part: Part, array_of: Callable[[str], np.ndarray]) -> dict[str, np.ndarray]:
    """Return our entries of a layer from theirs. Raises: ShapeError, naming theirs, for a shape that cannot be ours."""
    ours: dict[str, np.ndarray] = {}
    for rule in part.rules:
        arrays = tuple(array_of(name) for name in rule.theirs)
        shapes = tuple(part.shapes[name] for name in rule.ours)
        try:
            made = rule.back(arrays, shapes, part.options)
        except FnnetError:
            raise
        except (ValueError, IndexError, ZeroDivisionError) as error:  # too few axes, or parts that are not equal
            raise ShapeError(part.path, f"cannot be split or joined ({error})") from error
        ours |= dict(zip(rule.ours, made, strict=True))
    return ours


def paths_example(parts: Iterable[str]) -> str:
    """Return the first path as it is written in `names`."""
    return repr(next(iter(parts), ""))


def _layer_of(path: str, leaves: Mapping[str, Any], layout: Layout) -> tuple[str, str]:
    """Return the layer that a leaf is of, and its name in it: the parent, or one above whose kind has such a name."""
    *above, last = path.split("/")
    for n in range(len(above), -1, -1):
        layer, entry = "/".join(above[:n]), "/".join([*above[n:], last])
        kind = layout.chosen.get(layer, kind_of(layer.rpartition("/")[2], {}, layout.kinds))
        if any(entry in rule.ours for rule in layout.kinds.get(kind, ())):
            return layer, entry
    outer = "/".join([*above[:-1], ""])
    if above and above[-1] in PROJECTIONS and all(f"{outer}{part}/kernel" in leaves for part in PROJECTIONS):
        return outer.rstrip("/"), f"{above[-1]}/{last}"
    return "/".join(above), last


def _part(where: str, path: str, shapes: dict[str, tuple[int, ...]], layout: Layout) -> Part:
    copies = None
    if _is_copied(layout.names, path):
        copies = next(iter(shapes.values()), (0,))[0]
        shapes = {entry: shape[1:] for entry, shape in shapes.items()}
    kind = layout.chosen.get(path) or kind_of(path.rpartition("/")[2], shapes, layout.kinds)
    stacked = [entry for entry, shape in shapes.items() if len(shape) != _RANKS.get(entry, len(shape))]
    if stacked and kind in TORCH:  # of a kind of one's own, ranks are one's own too
        problem = f"{entry_path(path, stacked[0])!r} has shape {shapes[stacked[0]]}, of copies or of another layer"
        fix = f"name each copy of a repeat or an ensemble: names={{{path!r}: ['blocks.0', 'blocks.1', …]}}."
        raise ShapeError(where, problem, fix)
    rules = tuple(rule for rule in layout.kinds.get(kind, ()) if shapes.keys() & {*rule.ours})
    without_rule = shapes.keys() - {name for rule in rules for name in rule.ours}
    lacking = {name for rule in rules for name in rule.ours} - shapes.keys()
    if without_rule or lacking:
        what = f"{listed(without_rule)}" if without_rule else f"a layer without {listed(lacking)}"
        problem = f"{layout.library} has no rule for {what} of {path!r}" + (f", taken for {kind}" if kind else "")
        fix = f"give its kind: kinds={{{path!r}: …}}, one of {', '.join(layout.kinds)}; or add a kind to the layout."
        raise PathError(where, problem, fix)
    return Part(path, kind, rules, shapes, copies, _options(path, layout))


_RANKS = dict.fromkeys(("bias", "scale", "mean", "var", "reset_bias"), 1) | {"recurrent": 2, "table": 2}


def _options(path: str, layout: Layout) -> dict[str, Any]:
    values = {
        name: option.get(path) if isinstance(option, Mapping) else option for name, option in layout.options.items()
    }
    return {name: value for name, value in values.items() if value is not None}


def _check_paths(where: str, paths: Mapping[str, Any], known: Iterable[str]) -> None:
    known = set(known)
    for path in paths:
        if path not in known:
            raise PathError(where, f"the network has no layer {path!r}", near_matches(path, known))


def _longest(names: Names, path: str) -> str | None:
    """Return the path itself, or its nearest parent, that has a name."""
    parts = path.split("/")
    above = ("/".join(parts[:n]) for n in range(len(parts), -1, -1))
    return next((key for key in above if key in names), None)


def _is_copied(names: Names | None, path: str) -> bool:
    key = None if names is None else _longest(names, path)
    return names is not None and key is not None and not isinstance(names[key], str)


def _below(name: str | Iterable[str], rest: str, layout: Layout) -> tuple[str, ...]:
    ends = (name,) if isinstance(name, str) else tuple(name)
    return tuple(f"{end}{rest.replace('/', layout.separator)}".removeprefix(layout.separator) for end in ends)


def _held(theirs: Flat, layout: Layout) -> dict[str, set[str]]:
    """Return the names of the arrays that each layer of theirs holds itself, not within a layer of its own."""
    held: dict[str, set[str]] = {}
    for name in theirs:
        held.setdefault(name.rpartition(layout.separator)[0], set()).add(name)
    return held


def _fitting(part: Part, theirs: Flat, rest: set[str], held: Mapping[str, set[str]], layout: Layout) -> list[str]:
    """Return their layers, as yet without one of ours, that have just such entries, of such shapes."""
    first = part.theirs[0]
    layers = {name.removesuffix(first).removesuffix(layout.separator) for name in rest if name.endswith(first)}

    def fits(layer: str) -> bool:
        names = {joined(layout, layer, entry) for entry in part.theirs}
        return names <= rest and held.get(layer, set()) <= names and _makes_ours(part, layer, theirs, layout)

    return [layer for layer in layers if fits(layer)]


def _makes_ours(part: Part, layer: str, theirs: Flat, layout: Layout) -> bool:
    if _is_backward(layer) != _is_backward(part.path):
        return False
    try:
        ours = back(part, lambda entry: theirs[joined(layout, layer, entry)])
    except ShapeError:
        return False
    return {name: array.shape for name, array in ours.items()} == part.shapes


def _is_backward(name: str) -> bool:
    """Return whether a layer is the one that runs backwards of two: ours, torch's and Keras' names say so."""
    return any(part.startswith("backward") or part.endswith("_reverse") for part in re.split("[/.]", name))


def _numbers(name: str) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(int(n) for n in re.findall(r"\d+", part)) for part in re.split("[/.]", name))


def _differ_by_number(*several: Iterable[str]) -> bool:
    """Return whether the names of each list are alike but for numbers: ``dense``, ``dense_1``."""
    return all(len({re.sub(r"_?\d+", "", name) for name in names}) == 1 for names in several)


def _unclear(paths: list[str], fitting: list[str], part: Part) -> str:
    shapes = ", ".join(f"{name} {shape}" for name, shape in part.shapes.items())
    ours = f"{listed(sorted(paths))} ({part.kind}: {shapes})"
    if not fitting:
        return f"nothing in theirs fits {ours}"
    return f"{listed(sorted(fitting))} could be {ours}"


def listed(names: Iterable[str], most: int = 4) -> str:
    """Return the first names, and how many more there are."""
    names = list(names)
    return ", ".join(map(str, names[:most])) + (f" and {len(names) - most} more" if len(names) > most else "")
