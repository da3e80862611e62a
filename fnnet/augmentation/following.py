"""What follows an image that is moved: masks, objects and weights of places, told apart by type, dtype and rank."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from fnnet.augmentation.batches import Transform, as_fill, opened, row_keys
from fnnet.augmentation.resampling import Size, move_objects
from fnnet.boxes import Objects
from fnnet.core import Key
from fnnet.errors import DataError, DtypeError, ShapeError, near_matches
from fnnet.targets import check_value

Target: TypeAlias = Literal["mask", "fixed"] | Mapping[str, Any] | None
"""What y is: ``"mask"`` follows the image, ``"fixed"`` stays; a dict says it by name; None: see ``affine``."""


class Motion(NamedTuple):
    """How one image is moved: ``draw(key, size) -> how``, anything, and what follows from it.

    ``move(how, array, fill, nearest)`` of an array (H, W, ...); ``matrix(how, size)``, the map of places (2, 3);
    ``resized(size)``, the size that comes of one. Sizes are (height, width) and static.
    """

    draw: Callable[[Key, Size], Any]
    move: Callable[[Any, Array, Any, bool], Array]
    matrix: Callable[[Any, Size], Float[Array, "2 3"]]
    resized: Callable[[Size], Size] = lambda size: size


def moving(
    where: str,
    motion: Motion,
    *,
    floating: bool = False,
    fill: float = 0.0,
    mask_fill: int = 0,
    visible: float = 0.1,
    target: Target = None,
) -> Transform:
    """Return the transform that moves each image of a batch as `motion` has it, and with it what belongs to places."""
    check_value(where, "visible", visible, "a number in [0, 1]", lambda share: 0 <= share <= 1)
    _check_target(where, target)

    def transform(key: Key, batch: PyTree) -> PyTree:
        x, y, weight = opened(where, batch, floating=floating)
        size = x.shape[1:3]
        hows = jax.vmap(lambda k: motion.draw(k, size))(row_keys(where, key, len(x)))

        def moved(array: Array, name: str, value: float, nearest: bool = True) -> Array:
            filled = as_fill(where, name, value, array.dtype)
            return jax.vmap(lambda how, one: motion.move(how, one, filled, nearest))(hows, array)

        def objects(found: Objects) -> Objects:
            matrices = jax.vmap(lambda how: motion.matrix(how, size))(hows)
            return move_objects(where, found, matrices, motion.resized(size), visible)

        def follow(y: Any, kind: Target, name: str) -> Any:
            if isinstance(kind, Mapping) or (isinstance(y, Mapping) and kind is None):
                kinds = _by_name(where, y, kind, name)
                return {entry: follow(y[entry], kinds.get(entry), f"{name}[{entry!r}]") for entry in y}
            if kind == "fixed" or y is None:
                return y
            if isinstance(y, Objects) and kind is None:
                return objects(y)
            return moved(jnp.asarray(y), "mask_fill", mask_fill) if _follows(where, y, kind, x.shape, name) else y

        # A weight of places, such as one of a mask's pixels, is 0 where there was no place.
        return (
            moved(x, "fill", fill, nearest=False),
            follow(y, target, "y"),
            *(
                moved(w, "weight", 0) if len(w.shape) > 2 and _is_plane(where, w, x.shape, "weight") else w
                for w in weight
            ),
        )

    return transform


def _follows(where: str, y: Any, kind: Target, images: tuple[int, ...], name: str) -> bool:
    """Return whether an array of targets belongs to places; raise if that cannot be told, or it is of another size."""
    if not hasattr(y, "shape") or not hasattr(y, "dtype"):
        problem = f"{name} must be an array, fn.boxes.Objects, None, or a dict of these, got {type(y).__name__}"
        raise DataError(where, problem, "make it one of them, or pass target='fixed' to leave it as it is.")
    if kind is None and len(y.shape) <= 2:
        return False
    whole = jnp.issubdtype(y.dtype, jnp.integer) or y.dtype == jnp.bool_
    if kind is None and (not whole or len(y.shape) > 3):
        problem = f"{name} of {y.dtype} and shape {tuple(y.shape)} may be a mask or not: integers (n, H, W) are masks"
        fix = "boxes go into fn.boxes.Objects; else pass target='mask' (it follows the image) or 'fixed' (it stays)."
        raise DtypeError(where, problem, fix)
    return _is_plane(where, y, images, name)


def _is_plane(where: str, y: Any, images: tuple[int, ...], name: str) -> bool:
    """Return True; ShapeError unless the array has one entry, or one row of them, for each place of the images."""
    if tuple(y.shape[:3]) != tuple(images[:3]):
        problem = f"for images {tuple(images)}, {name} must have shape {tuple(images[:3])}, got {tuple(y.shape)}"
        raise ShapeError(where, problem, "give one value for each pixel; or pass target='fixed' to leave it as it is.")
    return True


def _check_target(where: str, target: Any) -> None:
    if isinstance(target, Mapping):
        for inner in target.values():
            _check_target(where, inner)
    elif target is not None and target not in ("mask", "fixed"):
        expected = "'mask', 'fixed', None, or a dict of these by name"
        raise ValueError(f"{where}: target must be {expected}, got {target!r}")


def _by_name(where: str, y: Any, kinds: Mapping[str, Target] | None, name: str) -> Mapping[str, Target]:
    """Return what the entries of a dict are; DataError if `kinds` speaks of others, or it is no dict."""
    if not isinstance(y, Mapping):
        raise DataError(where, f"target is a dict, and {name} is {type(y).__name__}", "pass one kind for all of it.")
    for entry in kinds or {}:
        if entry not in y:
            raise DataError(where, f"{name} has no entry {entry!r}, of which target speaks", near_matches(entry, y))
    return kinds or {}
