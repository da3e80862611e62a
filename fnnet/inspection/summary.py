"""What a network holds and costs: layers, shapes and parameters, with XLA's own count of operations and memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax

from fnnet import tree
from fnnet.core import Layer, Params, Shaped, State

_WRAPPED = re.compile(r"\bvmap\(([^()]*)\)")


class SummaryRow(NamedTuple):
    """One layer: its path, the shape and dtype of its output, and the number of its own parameters."""

    path: str
    shape: tuple[int, ...]
    dtype: str
    parameters: int


class Summary(NamedTuple):
    """A network at one shape of input, at inference.

    `flops` is XLA's cost analysis of the compiled program; `parameter_bytes` and `state_bytes` what the arrays take;
    `temporary_bytes` what the program needs beside its arguments and its output. None where the platform does not say.
    """

    rows: tuple[SummaryRow, ...]
    parameters: int
    parameter_bytes: int
    state_bytes: int
    flops: float | None
    temporary_bytes: int | None

    def __str__(self) -> str:
        cells = [("layer", "output", "dtype", "parameters")]
        cells += [(row.path, str(row.shape), row.dtype, f"{row.parameters:,}") for row in self.rows]
        widths = [max(len(row[n]) for row in cells) for n in range(4)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
        ]
        flops = "unknown" if self.flops is None else f"{self.flops:,.0f}"
        temporary = "unknown" if self.temporary_bytes is None else f"{self.temporary_bytes:,} bytes"
        lines.append(
            f"{self.parameters:,} parameters, {self.parameter_bytes:,} bytes; {flops} FLOPs; {temporary} of temporaries"
        )
        return "\n".join(lines)


def summary(net: Layer, x: Shaped) -> Summary:
    """Return what `net` holds and costs for an input of the shape of `x`; nothing is computed and no array is made.

    Rows are the named layers of compositions, innermost, in the order in which they run; a layer that runs again, or
    the body of ``repeat``, stands once.

    >>> print(fn.summary(fn.serial(fn.dense(4), jax.nn.relu, fn.dense(2)), jnp.ones((1, 3))).rows[0])
    SummaryRow(path='dense_0', shape=(1, 4), dtype='float32', parameters=16)
    """
    x = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), x)
    params, state = jax.eval_shape(net.init, jax.random.key(0), x)

    def infer(params: Params, state: State, x: Any) -> Any:
        return net.apply(params, state, x)[0]

    named = dict(_named(jax.make_jaxpr(infer)(params, state, x)))
    innermost = {path: out for path, out in named.items() if not any(other.startswith(path + "/") for other in named)}
    sizes = {path: leaf.size for path, leaf in tree.flatten(params).items()}
    if not innermost:
        innermost = {net.name: jax.tree.leaves(jax.eval_shape(infer, params, state, x))[0]}
        sizes = {f"{net.name}/{path}": size for path, size in sizes.items()}
    rows = tuple(
        SummaryRow(path, out.shape, str(out.dtype), sum(n for name, n in sizes.items() if tree.matches(path, name)))
        for path, out in innermost.items()
    )
    compiled = jax.jit(infer).lower(params, state, x).compile()
    costs, memory = compiled.cost_analysis() or {}, compiled.memory_analysis()
    return Summary(
        rows,
        tree.size(params),
        tree.nbytes(params),
        tree.nbytes(state),
        costs.get("flops"),
        getattr(memory, "temp_size_in_bytes", None),
    )


def _named(jaxpr: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the path and the shape of every output that a composition tagged, programs within programs included."""
    for equation in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        # Within vmap a scope is called vmap(name).
        scope = "/".join(filter(None, (prefix, _WRAPPED.sub(r"\1", str(equation.source_info.name_stack)))))
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=_is_program):
            if _is_program(inner):
                yield from _named(inner, scope)
        if equation.primitive.name == "name":
            yield scope, equation.outvars[0].aval


def _is_program(thing: Any) -> bool:
    return hasattr(thing, "eqns") or hasattr(thing, "jaxpr")
