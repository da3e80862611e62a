"""What a network holds and costs: layers, shapes and parameters, with XLA's own count of operations and memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax

from fnnet import tree
from fnnet.core import Layer, Params, Shaped, State
from fnnet.inspection.checks import check_net
from fnnet.tagged import tags


class SummaryRow(NamedTuple):
    """One layer: its path, the shape and dtype of its output, and the number of its own parameters.

    Parameters that are used in several places, those of ``shared``, have a row of their own, without an output.
    """

    path: str
    shape: tuple[int, ...] | None
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
        cells += [
            (row.path, "" if row.shape is None else str(row.shape), row.dtype, f"{row.parameters:,}")
            for row in self.rows
        ]
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

    Law: the parameters of the rows add up to those of the network.
    Raises: TypeError for another net, or an example that is no array.

    >>> print(fn.summary(fn.serial(fn.dense(4), jax.nn.relu, fn.dense(2)), jnp.ones((1, 3))).rows[0])
    SummaryRow(path='dense_0', shape=(1, 4), dtype='float32', parameters=16)
    """
    check_net("summary", net)
    for leaf in jax.tree.leaves(x):
        if not hasattr(leaf, "dtype"):
            fix = "an example batch or jax.ShapeDtypeStruct(shape, dtype)"
            raise TypeError(f"summary: x must be an array, {fix}, got {type(leaf).__name__}: {leaf!r}")
    x = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), x)
    params, state = jax.eval_shape(net.init, jax.random.key(0), x)

    def infer(params: Params, state: State, x: Any) -> Any:
        return net.apply(params, state, x)[0]

    named: dict[str, Any] = {}
    for tag, out in tags(infer, params, state, x):
        if tag.of_layer:
            named.setdefault(tag.path, out)  # of several outputs the first: a Masked's values
    innermost = {path: out for path, out in named.items() if not any(other.startswith(path + "/") for other in named)}
    arrays = tree.flatten(params)
    if not innermost:
        innermost = {net.name: jax.tree.leaves(jax.eval_shape(infer, params, state, x))[0]}
        arrays = {f"{net.name}/{path}": array for path, array in arrays.items()}
    rows = [SummaryRow(path, out.shape, str(out.dtype), _size(path, arrays)) for path, out in innermost.items()]
    elsewhere = {name: array for name, array in arrays.items() if not any(_is_under(name, row.path) for row in rows)}
    for parent in dict.fromkeys(name.rpartition("/")[0] for name in elsewhere):
        own = {name: array for name, array in elsewhere.items() if name.rpartition("/")[0] == parent}
        rows.append(SummaryRow(parent or net.name, None, str(next(iter(own.values())).dtype), tree.size(own)))
    compiled = jax.jit(infer).lower(params, state, x).compile()
    costs, memory = compiled.cost_analysis() or {}, compiled.memory_analysis()
    return Summary(
        tuple(rows),
        tree.size(params),
        tree.nbytes(params),
        tree.nbytes(state),
        costs.get("flops"),
        getattr(memory, "temp_size_in_bytes", None),
    )


def _size(path: str, arrays: Mapping[str, Any]) -> int:
    return tree.size({name: array for name, array in arrays.items() if _is_under(name, path)})


def _is_under(name: str, path: str) -> bool:
    return name == path or name.startswith(path + "/")
