"""What is depth without non-linearity? One layer: a deep linear network, with and without ReLU, on moons and XOR.

python examples/05_collapse.py [--seeds 10] [--steps 1000] [--plot collapse.png]
"""

import argparse
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import fnnet as fn

NETS = {
    "one layer": fn.nets.mlp((2,)),
    "four layers, linear": fn.nets.mlp((16, 16, 16, 2), None),
    "four layers, ReLU": fn.nets.mlp((16, 16, 16, 2), jax.nn.relu),
}
DATA = {"moons": fn.data.moons(600, noise=0.15), "XOR": fn.data.xor(600, noise=0.15)}


@partial(jax.jit, static_argnums=(0, 4))
@partial(jax.vmap, in_axes=(None, 0, None, None, None))
def trained(task, key, train, test, steps):
    """Return the parameters after training from each key, and their accuracy on the test part."""
    state = fn.init(task, key, train[0])
    state, _ = fn.run(task, state, train, steps=steps, batch_size=32, record=fn.Record(every=0))
    return state.params, fn.evaluate(task, state, test)["accuracy"]


def collapsed(net, params, x):
    """Return the one layer that equals the net, with the largest difference of the two on `x`, as a share."""
    layer, one = fn.collapse(net, params, x)
    y = net(params, x)
    return one, float(jnp.abs(layer(one, x) - y).max() / jnp.abs(y).max())


def interval(values):
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1) / np.sqrt(len(values)):.3f}"


def main(arguments=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--plot", metavar="FILE")
    options = parser.parse_args(arguments)

    keys = jax.random.split(jax.random.key(0), options.seeds)
    accuracy, difference, regions = {}, {}, {}
    print(f"accuracy on 300 test points, mean ± standard error over {options.seeds} seeds of weights and batches")
    for name, net in NETS.items():
        task = fn.Task(net, fn.losses.cross_entropy, fn.adam(0.01), (fn.metrics.accuracy(),))
        for data, points in DATA.items():
            train, test = fn.data.split(points, (0.5, 0.5), seed=0)
            params, values = trained(task, keys, train.arrays, test.arrays, options.steps)
            first = jax.tree.map(lambda leaf: leaf[0], params)
            accuracy[data, name], regions[data, name] = np.asarray(values), first
            print(f"  {data:5s}  {name:19s}  {interval(values)}")

    for data, points in DATA.items():
        name = "four layers, linear"
        one, difference[data] = collapsed(NETS[name], regions[data, name], points.x)
        print(
            f"{data}: the four linear layers are x W + b, W {one['kernel'].shape}, to {difference[data]:.0e} of its size"
        )
        margin = accuracy[data, "four layers, ReLU"] - accuracy[data, name]
        depth = accuracy[data, name] - accuracy[data, "one layer"]
        print(f"{data}: ReLU gains {interval(margin)}, four linear layers over one {interval(depth)}")
    try:
        collapsed(NETS["four layers, ReLU"], regions["moons", "four layers, ReLU"], DATA["moons"].x)
    except fn.errors.DataError as error:
        print(f"with ReLU there is no such layer: {error.problem}")

    if options.plot:
        draw(regions).savefig(options.plot)
    return {"accuracy": accuracy, "difference": difference}


def draw(regions):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5.4), layout="constrained")
    for row, (data, points) in zip(figure.subplots(len(DATA), len(NETS)), DATA.items(), strict=True):
        (left, bottom), (right, top) = points.x.min(0) - 0.3, points.x.max(0) + 0.3
        x1, x2 = np.linspace(left, right, 121, dtype=np.float32), np.linspace(bottom, top, 121, dtype=np.float32)
        grid = jnp.stack(jnp.meshgrid(x1, x2), -1)
        for axes, (name, net) in zip(row, NETS.items(), strict=True):
            share = jax.nn.softmax(net(regions[data, name], grid))[..., 1]
            filled = axes.contourf(x1, x2, share, levels=np.linspace(0, 1, 11), cmap="PuOr", alpha=0.8)
            for label, marker in ((0, "o"), (1, "^")):
                chosen = points.x[points.y == label][::3]
                axes.plot(*chosen.T, marker, ms=2.5, color="black", mfc="white" if label else "black", lw=0)
            axes.set_title(f"{data}, {name}", fontsize=10)
            axes.set(xlabel="x₁", ylabel="x₂")
    figure.colorbar(filled, ax=figure.axes, label="probability of class 1 (▲)", shrink=0.6)
    return figure


if __name__ == "__main__":
    main()
