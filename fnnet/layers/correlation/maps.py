r"""The three bilinear maps of a correlation, as JAX primitives: :math:`y = F(x, k)` and its transposes, B and W.

:math:`\langle F(x, k), y\rangle = \langle x, B(y, k)\rangle = \langle k, W(x, y)\rangle`. Each is linear in both of its
arguments, and the transposes of each are the other two. So they are closed under differentiation of any order, forward
and reverse, and how each is computed is chosen when it is lowered to a program: by platform, shape and dtype.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array

from fnnet.layers.correlation.choice import Formulation, computed
from fnnet.layers.correlation.geometry import Geometry


def correlate(x: Array, kernel: Array, geometry: Geometry, formulation: Formulation = "auto") -> Array:
    """Return F(x, kernel): (batch, *sizes, n), (*window, n / groups, features) -> (batch, *outputs, features)."""
    return _forward.bind(*_varying_alike(x, kernel), geometry=geometry, formulation=formulation)


def transpose_correlate(y: Array, kernel: Array, geometry: Geometry, formulation: Formulation = "auto") -> Array:
    """Return B(y, kernel): (batch, *outputs, features), (*window, n / groups, features) -> (batch, *sizes, n)."""
    return _input_gradient.bind(*_varying_alike(y, kernel), geometry=geometry, formulation=formulation)


def _varying_alike(a: Array, b: Array) -> tuple[Array, Array]:
    """Return both, within ``shard_map`` as values that differ over the axes of the mesh that either does."""
    over_a, over_b = _varying(a), _varying(b)
    return _vary(a, over_b - over_a), _vary(b, over_a - over_b)


def _varying(x: Array) -> frozenset[Any]:
    aval: Any = jax.typeof(x)
    return (
        aval.manual_axis_type.varying if hasattr(aval, "manual_axis_type") else aval.vma
    )  # the latter before JAX 0.10


def _vary(x: Array, axes: frozenset[Any]) -> Array:
    if not axes:
        return x
    library: Any = lax
    names = tuple(axes)
    return library.pcast(x, names, to="varying") if hasattr(library, "pcast") else library.pvary(x, names)


def _shape_forward(x: Any, kernel: Any, geometry: Geometry) -> tuple[int, ...]:
    return (x.shape[0], *geometry.outputs, kernel.shape[-1])


def _shape_input_gradient(y: Any, kernel: Any, geometry: Geometry) -> tuple[int, ...]:
    return (y.shape[0], *geometry.sizes, kernel.shape[-2] * geometry.groups)


def _shape_kernel_gradient(x: Any, y: Any, geometry: Geometry) -> tuple[int, ...]:
    return (*geometry.window, x.shape[-1] // geometry.groups, y.shape[-1])


def _primitive(name: str, shape: Callable[[Any, Any, Geometry], tuple[int, ...]]) -> Primitive:
    """Return the primitive of a bilinear map, whose program is chosen where it is lowered."""
    primitive = Primitive(f"correlation_{name}")

    def abstract(a: Any, b: Any, *, geometry: Geometry, formulation: Formulation) -> Any:
        # All have one rank, so that what is known of `a` beside its shape is known of the result.
        whole = a.sharding.update(spec=(None,) * a.ndim)
        return a.update(shape=shape(a, b, geometry), weak_type=False, sharding=whole)

    def evaluated(a: Array, b: Array, *, geometry: Geometry, formulation: Formulation) -> Array:
        if jax.config.jax_disable_jit:  # type: ignore[attr-defined]
            return computed(name, a, b, geometry, formulation, platform=jax.default_backend())
        return _compiled(a, b, primitive=primitive, geometry=geometry, formulation=formulation)

    def lowered(platform: str) -> Any:
        return mlir.lower_fun(partial(_by_position, name, platform), multiple_results=False)

    primitive.def_abstract_eval(abstract)
    primitive.def_impl(evaluated)
    mlir.register_lowering(primitive, lowered("other"))
    mlir.register_lowering(primitive, lowered("cpu"), platform="cpu")
    return primitive


def _by_position(
    name: str, platform: str, a: Array, b: Array, *, geometry: Geometry, formulation: Formulation
) -> Array:
    return computed(name, a, b, geometry, formulation, platform=platform)


@partial(jax.jit, static_argnames=("primitive", "geometry", "formulation"))
def _compiled(a: Array, b: Array, *, primitive: Primitive, geometry: Geometry, formulation: Formulation) -> Array:
    return primitive.bind(a, b, geometry=geometry, formulation=formulation)


_forward = _primitive("forward", _shape_forward)
_input_gradient = _primitive("input_gradient", _shape_input_gradient)
_kernel_gradient = _primitive("kernel_gradient", _shape_kernel_gradient)

# The transpose in one argument, of the gradient of the result and the other argument.
ad.defbilinear(
    _forward,
    lambda y, x, kernel, **static: _input_gradient.bind(y, kernel, **static),
    lambda y, x, kernel, **static: _kernel_gradient.bind(x, y, **static),
)
ad.defbilinear(
    _input_gradient,
    lambda x, y, kernel, **static: _forward.bind(x, kernel, **static),
    lambda x, y, kernel, **static: _kernel_gradient.bind(x, y, **static),
)
ad.defbilinear(
    _kernel_gradient,
    lambda kernel, x, y, **static: _input_gradient.bind(y, kernel, **static),
    lambda kernel, x, y, **static: _forward.bind(x, kernel, **static),
)


# How a batch of maps is one map: images of one kernel are more images; where kernels differ, each has a group.


def _batched(
    primitive: Primitive, one_kernel: bool, args: Any, dims: Any, *, geometry: Geometry, formulation: Formulation
) -> tuple[Array, int]:
    """Return the batch of one of the maps; `one_kernel`: whether the second argument is a kernel."""
    size = next(a.shape[d] for a, d in zip(args, dims, strict=True) if d is not None)
    if one_kernel and dims[1] is None:
        images = jnp.moveaxis(args[0], dims[0], 0)
        images = images.reshape(images.shape[0] * images.shape[1], *images.shape[2:])
        y = primitive.bind(images, args[1], geometry=geometry, formulation=formulation)
        return y.reshape(size, y.shape[0] // max(size, 1), *y.shape[1:]), 0
    whole = [_as_groups(a, d, size) for a, d in zip(args, dims, strict=True)]
    grouped = geometry._replace(groups=geometry.groups * size)
    y = primitive.bind(*whole, geometry=grouped, formulation=formulation)
    return y.reshape(*y.shape[:-1], size, y.shape[-1] // max(size, 1)), y.ndim - 1


def _as_groups(a: Array, dim: int | None, size: int) -> Array:
    """Return `a` with the new batch, whose members are alike where there is none, made one with its features."""
    shape = (*a.shape[:-1], size, a.shape[-1])
    a = jnp.broadcast_to(a[..., None, :], shape) if dim is None else jnp.moveaxis(a, dim, -2)
    return a.reshape(*a.shape[:-2], a.shape[-2] * a.shape[-1])


batching.primitive_batchers[_forward] = partial(_batched, _forward, True)
batching.primitive_batchers[_input_gradient] = partial(_batched, _input_gradient, True)
batching.primitive_batchers[_kernel_gradient] = partial(_batched, _kernel_gradient, False)
