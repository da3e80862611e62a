"""Numbers as leaves: every number a transform uses is a traced scalar of its state, under its argument's name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from fnnet import tree
from fnnet.errors import PathError, near_matches

Number: TypeAlias = float | Array
"""A Python number, or a scalar array (traced, where an optimizer is made inside ``vmap`` or ``grad``)."""

ScalarOrSchedule: TypeAlias = Number | Callable[[Array], Array]
"""A number, or a function of the number of updates made so far."""

# What a number may be goes by its name, here for factories and `with_hyperparams` alike: the state holds no more.
_BELOW_ONE = frozenset({"b1", "b2", "momentum", "decay", "rho", "c1", "c2"})
_POSITIVE = frozenset({"max_norm", "max_value", "max_rms", "clipping", "every", "patience"})
_SIGNED = frozenset({"factor"})
_WHOLE = frozenset({"every"})
_UNBOUNDED = frozenset({"max_norm", "max_value", "max_rms", "clipping", "patience"})  # infinite: never acts


def as_leaves(where: str, **numbers: Number) -> Callable[[], dict[str, Array]]:
    """Check the numbers now, and return the function that makes them scalars by name, of JAX's default float type.

    New arrays at each call: two states share no buffer, so that either can be donated.
    Raises: ValueError, naming `where`, for a number that is negative (but for a ``factor``) or not finite (but for a
    bound that never acts), or a decay rate that is not below one; what a number may be goes by its name.

    >>> fn.transforms.as_leaves("adam", b1=0.5)()
    {'b1': Array(0.5, dtype=float32)}
    """
    for name, value in numbers.items():
        check_number(where, name, value)
        if jnp.ndim(value):
            raise ValueError(f"{where}: {name} must be one number, got an array of shape {jnp.shape(value)}")
    return lambda: {name: jnp.array(value, dtype=jnp.result_type(float)) for name, value in numbers.items()}


def check_number(where: str, name: str, value: Any) -> None:
    """Raise ValueError if `value` is known (not traced) and not a possible value of the number called `name`."""
    if isinstance(value, jax.core.Tracer):
        return
    known = np.asarray(value)  # NumPy's comparisons stay concrete where an optimizer is made inside jit
    if known.dtype.kind not in "iuf":
        raise ValueError(f"{where}: {name} must be a real number, got {value!r}")
    least, possible = ("above 0", known > 0) if name in _POSITIVE else ("at least 0", known >= 0)
    if not np.all(possible) and name not in _SIGNED:
        raise ValueError(f"{where}: {name} must be {least}, got {value}")
    if name not in _UNBOUNDED and not np.all(np.isfinite(known)):
        raise ValueError(f"{where}: {name} must be finite, got {value}")
    if name in _WHOLE and not np.all(known == np.round(known)):
        raise ValueError(f"{where}: {name} must be a whole number, got {value}")
    if name in _BELOW_ONE and not np.all(known < 1):
        raise ValueError(f"{where}: {name} must be below 1, got {value}")


def hyperparams(opt_state: PyTree) -> dict[str, Array]:
    """Return every number of an optimizer's state by path: the place in the chain, then the argument's name.

    A learning rate that follows a schedule is there too, with the value that the last update used.

    >>> optimizer = fn.transforms.chain(fn.transforms.clip_by_global_norm(1.0), fn.transforms.scale(0.5))
    >>> hyperparams(optimizer.init({"w": jnp.ones(2)}))
    {'0/max_norm': Array(1., dtype=float32), '1/factor': Array(0.5, dtype=float32)}
    """
    if hasattr(opt_state, "init") and hasattr(opt_state, "update"):
        raise TypeError("hyperparams: expected an optimizer's state, got the optimizer: pass optimizer.init(params)")
    leaves = jax.tree_util.tree_leaves_with_path(opt_state)
    return {_number_path(path): leaf for path, leaf in leaves if _field(path) in ("hyperparams", "scheduled")}


def with_hyperparams(opt_state: PyTree, values: Mapping[str, Any]) -> PyTree:
    """Return the state with numbers set, each by its path or, where only one has it, by its name.

    Dtypes, shapes and devices stay as they are, so a compiled step is not compiled again.

    Raises: PathError for an unknown path (with the nearest) or a name that several numbers share; ValueError for a
    value that no number of this name may have (that a plateau's ``factor`` is below 1, and c1 below c2, the factories
    alone check), and for a number that follows a schedule.

    >>> state = fn.transforms.scale(0.5).init({"w": jnp.ones(2)})
    >>> hyperparams(with_hyperparams(state, {"factor": 0.25}))
    {'factor': Array(0.25, dtype=float32)}
    """
    leaves, treedef = jax.tree_util.tree_flatten_with_path(opt_state)
    fields = {_number_path(path): _field(path) for path, _ in leaves if _field(path) in ("hyperparams", "scheduled")}
    settings = {}
    for name, value in values.items():
        path = _resolve(name, fields)
        if fields[path] == "scheduled":
            raise ValueError(
                f"with_hyperparams: {path!r} follows a schedule, so a value set here would be lost at the next update;"
                " make the optimizer with a number instead"
            )
        check_number("with_hyperparams", path.rpartition("/")[2], value)
        settings[path] = value

    def replace(path: tuple[Any, ...], leaf: Array) -> Array:
        name = _number_path(path) if _field(path) == "hyperparams" else None
        if name in settings and jnp.shape(settings[name]) not in ((), leaf.shape):
            shapes = f"shape {leaf.shape}, got {jnp.shape(settings[name])}"
            raise ValueError(f"with_hyperparams: {name!r} must be one number or of {shapes}")
        if name not in settings:
            return leaf
        value = jnp.broadcast_to(jnp.asarray(settings[name]).astype(leaf.dtype), leaf.shape)
        traced = isinstance(leaf, jax.core.Tracer) or isinstance(value, jax.core.Tracer)
        # On the leaf's own devices, if it is bound to some: another placement would be another program.
        return value if traced or not getattr(leaf, "committed", False) else jax.device_put(value, leaf.sharding)

    return jax.tree.unflatten(treedef, [replace(path, leaf) for path, leaf in leaves])


def _field(path: tuple[Any, ...]) -> str | None:
    """Return the name of the field that holds the dict of this leaf, if it is one of a dict in a field."""
    if len(path) < 2 or not isinstance(path[-1], jax.tree_util.DictKey):
        return None
    return path[-2].name if isinstance(path[-2], jax.tree_util.GetAttrKey) else None


def _number_path(path: tuple[Any, ...]) -> str:
    return tree.path_name((*path[:-2], path[-1]))


def _resolve(name: str, known: Mapping[str, Any]) -> str:
    if name in known:
        return name
    found = [path for path in known if path.rpartition("/")[2] == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise PathError(
            "with_hyperparams", f"{name!r} names several numbers", f"use one of {', '.join(map(repr, found))}."
        )
    last_names = {path.rpartition("/")[2] for path in known}
    raise PathError(
        "with_hyperparams", f"no number is called {name!r}", near_matches(name, known if "/" in name else last_names)
    )
