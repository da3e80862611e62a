"""What in an image an answer hangs on: the gradient by its pixels, and where the maps of a layer speak for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from fnnet.core import Key, Layer, Params, State
from fnnet.errors import DtypeError, PathError, ShapeError, near_matches
from fnnet.inspection.checks import check_net
from fnnet.inspection.intermediates import keep, shortened, whole
from fnnet.shapes import check_count, check_floating, check_key
from fnnet.tagged import by_path, look
from fnnet.targets import check_labels, check_value, known

Target: TypeAlias = "ArrayLike | Callable[[Any], Array] | None"
"""A class for all examples, or one for each; a function of the outputs with a score an example; None: the answer."""


def saliency(
    net: Layer,
    params: Params,
    x: Float[ArrayLike, "n ..."],
    state: State = {},  # noqa: B006 - never mutated
    *,
    target: Target = None,
    channels: Literal["max", "sum"] | None = "max",
    smooth: int = 0,
    noise: float = 0.15,
    key: Key | None = None,
) -> Float[Array, "n ..."]:
    r"""Return how much the score of a class moves with each pixel, :math:`|\partial s_t / \partial x|`, at inference.

    The score is the network's output, a logit, for the class `target`, by default the one that it decides for. Of one
    output, that is the score of class 1, and its negative that of class 0. Instead of a class it may be a function of
    the outputs with one score for each example, for networks whose outputs are not (n, classes).

    Of an image the greatest magnitude over its `channels` is taken, or the sum, or with None each is kept.
    Shapes: ``(n, H, W, C) -> (n, H, W)``, with ``channels=None`` that of `x`, which may be any.

    With `smooth` it is the magnitude of the mean of so many gradients, each with Gaussian noise on `x`, whose standard
    deviation is the share `noise` of the range of the example's values; it needs a `key`.

    Raises: DtypeError for `x` that is not floating-point; DataError for a class that there is not; ShapeError;
    KeyMissingError; ValueError for other options.
    Simonyan, Vedaldi & Zisserman 2014; Smilkov et al. 2017 (SmoothGrad).

    >>> net = fn.as_layer(lambda x: x @ jnp.array([[1.0, -3.0], [2.0, 0.0]]))
    >>> saliency(net, {}, jnp.array([[1.0, 1.0]]), target=1, channels=None)
    Array([[3., 0.]], dtype=float32)
    """
    x = _checked("saliency", net, x)
    if channels not in ("max", "sum", None):
        raise ValueError(f"saliency: channels must be 'max', 'sum' or None, got {channels!r}")
    if channels is not None and x.ndim < 3:
        problem = f"x must be images (n, ..., C) for channels={channels!r}, got shape {x.shape}"
        raise ShapeError("saliency", problem, "pass channels=None, which keeps every feature.")
    smooth = check_count("saliency", "smooth", smooth, least=0)
    check_value("saliency", "noise", noise, "a number of at least 0", lambda value: value >= 0)
    if smooth:
        key = check_key("saliency", key, when=" to smooth")
    score, target = _target("saliency", target, len(x))
    y = jax.eval_shape(partial(_answer, net), params, state, x)
    _check_scores("saliency", y, score, target, len(x))
    gradient = jnp.abs(_gradient(net, score, smooth, params, state, x, target, jnp.asarray(noise, x.dtype), key))
    if channels is None:
        return gradient
    return gradient.max(-1) if channels == "max" else gradient.sum(-1)


def grad_cam(
    net: Layer,
    params: Params,
    x: Float[ArrayLike, "n H W C"],
    path: str,
    state: State = {},  # noqa: B006 - never mutated
    *,
    target: Target = None,
    size: tuple[int, int] | None = None,
) -> Float[Array, "n h w"]:
    r"""Return where a layer's maps speak for a class, :math:`\max(0, \sum_k \alpha_k A^k)` (Grad-CAM), at inference.

    :math:`A` (n, h, w, K) are the values at `path`, one of those of ``activations``, such as the last convolution's,
    and :math:`\alpha_k` is the mean over all places of the gradient of the score by :math:`A^k`. The result is brought
    by linear interpolation to `size`, by default that of the image. `target` as for ``saliency``. Where all maps speak
    against the class it is 0 everywhere.

    Shapes: ``(n, H, W, C) -> (n, H, W)``, or (n, *size). Values within loops have an axis of turns in front, and are
    refused.
    Raises: PathError for a path that names no value, with those near it; ShapeError for values that are not (n, h, w,
    K); else as ``saliency``.
    Selvaraju et al. 2017.

    >>> net = fn.serial(fn.conv(4, 3), jax.nn.relu, fn.global_pool(), fn.dense(3))
    >>> params, _ = net.init(jax.random.key(0), jnp.ones((1, 8, 8, 1)))
    >>> grad_cam(net, params, jnp.ones((2, 8, 8, 1)), "relu_0").shape
    (2, 8, 8)
    """
    x = _checked("grad_cam", net, x)
    if x.ndim != 4:
        raise ShapeError("grad_cam", f"x must have shape (n, H, W, C), got {x.shape}", "pass a batch of images.")
    height, width = x.shape[1:3] if size is None else size
    size = (check_count("grad_cam", "size", height), check_count("grad_cam", "size", width))
    score, target = _target("grad_cam", target, len(x))
    inner, shape = _inner("grad_cam", net, params, state, x, path)
    if len(shape) != 4 or shape[0] != len(x):
        problem = f"the values at {path!r} must have shape ({len(x)}, h, w, channels), got {shape}"
        raise ShapeError("grad_cam", problem, "name a layer whose output is a map of the image, not in a loop.")
    y = jax.eval_shape(partial(_answer, net), params, state, x)
    _check_scores("grad_cam", y, score, target, len(x))
    return _grad_cam(net, score, inner, size, params, state, x, target)


def _checked(where: str, net: Layer, x: Any) -> Array:
    check_net(where, net)
    if not hasattr(x, "dtype"):
        fix = f"fn.inspection.{where}(net, params, x, ...), with the state after x."
        raise DtypeError(where, f"x must be an array, got {type(x).__name__}", fix)
    check_floating(where, x)
    if len(x.shape) < 2 or x.shape[0] < 1:
        raise ShapeError(where, f"x must be a batch, (n, ...) of at least one, got shape {x.shape}", "pass x[None].")
    return jnp.asarray(x)


def _target(where: str, target: Target, count: int) -> tuple[Callable[[Any], Array] | None, Array | None]:
    """Return the function of the outputs, if it is one, and else the class of each example, if there are any."""
    if target is None:
        return None, None
    if callable(target):
        return target, None
    labels = jnp.asarray(target)
    if labels.shape not in ((), (count,)):
        problem = f"target must be one class, or one for each of the {count} examples, got shape {labels.shape}"
        raise ShapeError(where, problem, "of one-hot labels pass y.argmax(-1).")
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise DtypeError(where, f"classes must be integers, got {labels.dtype}", "target.astype(jnp.int32).")
    return None, jnp.broadcast_to(labels, (count,))


def _check_scores(where: str, y: Any, score: Callable[[Any], Array] | None, target: Array | None, count: int) -> None:
    if score is not None:
        shape = getattr(jax.eval_shape(score, y), "shape", None)
        if shape != (count,):
            problem = f"target must return one score for each example, of shape ({count},), got {shape}"
            raise ShapeError(where, problem, "sum over the other axes.")
        return
    shape = getattr(y, "shape", None)
    if shape is None or len(shape) not in (1, 2) or shape[0] != count:
        got = type(y).__name__ if shape is None else f"shape {shape}"
        problem = f"the network's outputs must have shape ({count}, classes), got {got}"
        raise ShapeError(where, problem, "pass target=, a function of the outputs with a score for each example.")
    if target is not None and known(target) is not None:
        check_labels(target, max(2, shape[1] if len(shape) == 2 else 1), where=where)


def _inner(where: str, net: Layer, params: Params, state: State, x: Array, path: str) -> tuple[str, tuple[int, ...]]:
    """Return the path of a value in the program around the network, and the value's shape."""

    def both() -> Any:
        _, found = look(whole(net), params, state, x, visit=keep)
        return found, shortened(net, found)

    found, short = map(by_path, jax.eval_shape(both))
    names = dict(zip(short, found, strict=False))  # the output, which `shortened` may leave out, is the last
    if path not in names:
        raise PathError(where, f"{path!r} names no value of the network", near_matches(path, names))
    return names[path], found[names[path]].shape


def _answer(net: Layer, params: Params, state: State, x: Array) -> Any:
    return net.apply(params, state, x)[0]


def _logits(y: Array) -> Array:
    """Return (n, classes), of one output both classes'."""
    y = y[:, None] if y.ndim == 1 else y
    return y if y.shape[1] > 1 else jnp.concatenate([-y, y], 1)


def _total(y: Any, score: Callable[[Any], Array] | None, target: Array | None) -> Array:
    """Return the sum of the examples' scores, whose gradient by each example is that of its own."""
    if score is not None:
        return score(y).sum()
    logits = _logits(y)
    labels = jax.lax.stop_gradient(logits).argmax(1) if target is None else target
    return jnp.take_along_axis(logits, labels[:, None], 1).sum()


@partial(jax.jit, static_argnums=(0, 1, 2))
def _gradient(
    net: Layer,
    score: Callable[[Any], Array] | None,
    smooth: int,
    params: Params,
    state: State,
    x: Array,
    target: Array | None,
    noise: Array,
    key: Key | None,
) -> Array:
    if not smooth:
        return jax.grad(lambda x: _total(_answer(net, params, state, x), score, target))(x)
    if score is None and target is None:
        target = _logits(_answer(net, params, state, x)).argmax(1)
    axes = tuple(range(1, x.ndim))
    spread = noise * (x.max(axes, keepdims=True) - x.min(axes, keepdims=True))

    def one(total: Array, key: Key) -> tuple[Array, None]:
        moved = x + spread * jax.random.normal(key, x.shape, x.dtype)
        return total + jax.grad(lambda x: _total(_answer(net, params, state, x), score, target))(moved), None

    total, _ = jax.lax.scan(one, jnp.zeros_like(x), jax.random.split(key, smooth))  # type: ignore[arg-type]
    return total / smooth


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _grad_cam(
    net: Layer,
    score: Callable[[Any], Array] | None,
    path: str,
    size: tuple[int, int],
    params: Params,
    state: State,
    x: Array,
    target: Array | None,
) -> Array:
    def total(added: Array) -> tuple[Array, Array]:
        (y, _), found = look(whole(net), params, state, x, visit=keep, added={path: added})
        return _total(y, score, target), by_path(found)[path]

    like = jax.eval_shape(lambda: by_path(look(whole(net), params, state, x, visit=keep)[1])[path])
    gradient, maps = jax.grad(total, has_aux=True)(jnp.zeros(like.shape, like.dtype))
    weights = gradient.mean((1, 2), keepdims=True)
    heat = jax.nn.relu((weights * maps).sum(-1))
    return jax.image.resize(heat, (len(x), *size), "linear")
