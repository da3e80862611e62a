"""Weights to and from torch, Flax and Keras: the largest difference of outputs, for every kind of layer and both ways.

python benchmarks/peer_layouts.py [--fixtures tests/layouts_data]

No time is taken: the script is where the peers are, and the tests read the files that it makes.

Result: at most 9.5e-7, of outputs up to 7.4, over 82 rows, on CPU. torch 2.13.0, flax 0.12.8, keras 3.15.1 and jax
0.10.2, 2026-11-25.
"""

import argparse
import pathlib
from importlib.metadata import version

import jax
import jax.numpy as jnp
import numpy as np
from layout_cases import scattered
from layout_cases.flax_nets import linen_cases, nnx_cases
from layout_cases.keras_nets import keras_cases
from layout_cases.torch_nets import torch_cases

import fnnet as fn

LAYOUTS = {
    "torch": (fn.layouts.torch, torch_cases),
    "linen": (fn.layouts.linen, linen_cases),
    "nnx": (fn.layouts.nnx, nnx_cases),
    "keras": (fn.layouts.keras, keras_cases),
}


def differences(layout, case):
    """Return the largest difference of outputs with their weights, and with ours."""
    net, peer, x, names, found, options = case
    like = net.init(jax.random.key(0), jax.tree.map(jnp.asarray, x))
    params, state = fn.layouts.from_layout(peer.flat, layout(names, **options), like=like)
    if found:
        again = fn.layouts.from_layout(peer.flat, layout(**options), like=like)
        assert jax.tree.all(jax.tree.map(jnp.array_equal, again, (params, state)))
    theirs = np.asarray(peer.outputs(x))
    one = np.abs(np.asarray(net(params, jax.tree.map(jnp.asarray, x), state)) - theirs).max()
    params, state = scattered(like)
    if layout is fn.layouts.nnx and "reset_bias" in params:
        params = params | {"reset_bias": 0 * params["reset_bias"]}
    peer.load(fn.layouts.to_layout(params, state, layout(names, **options)))
    ours = np.asarray(net(params, jax.tree.map(jnp.asarray, x), state))
    return one, np.abs(ours - np.asarray(peer.outputs(x))).max(), np.abs(theirs).max()


def write_fixtures(folder):
    """Write what the tests read: weights of torch networks, an input of each, and the outputs that torch gives."""
    folder.mkdir(exist_ok=True)
    chosen = ("mlp", "cnn", "tagger", "gru", "conv_transpose 2d, groups", "attention", "transformer block")
    for name, case in torch_cases().items():
        if name in chosen:
            flat = {**case.peer.flat, "input": case.x, "output": np.ascontiguousarray(case.peer.outputs(case.x))}
            fn.layouts.write(folder / f"torch_{name.replace(',', '').replace(' ', '_')}.safetensors", flat)
    for library, (_, cases) in list(LAYOUTS.items())[1:]:
        for name, case in cases().items():
            if name in ("cnn", "gru", "attention"):
                flat = {**case.peer.flat, "output": np.asarray(case.peer.outputs(case.x))}
                flat |= {"input": case.x[0] if isinstance(case.x, tuple) else case.x}
                fn.layouts.write(folder / f"{library}_{name}.safetensors", flat)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fixtures", type=pathlib.Path)
    options = parser.parse_args()
    print(", ".join(f"{name} {version(name)}" for name in ("torch", "flax", "keras", "jax")))
    print(f"{'':40s} theirs here  ours there  largest output")
    worst = 0.0
    for library, (layout, cases) in LAYOUTS.items():
        for name, case in cases().items():
            here, there, size = differences(layout, case)
            worst = max(worst, here, there)
            print(f"{library:6s} {name:33s} {here:11.1e} {there:11.1e} {size:11.2f}")
    print(f"largest difference {worst:.1e}")
    if options.fixtures:
        write_fixtures(options.fixtures)


if __name__ == "__main__":
    main()
