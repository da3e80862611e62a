"""What is depth without non-linearity? One layer: the same deep network with and without ReLU, on moons and XOR.

python examples/05_collapse.py [--seeds 10] [--steps 1500] [--plot collapse.png]
"""

import argparse
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.linear_model import LogisticRegression

import fnnet as fn

DATA = {"moons": fn.data.moons(600, noise=0.15), "XOR": fn.data.xor(600, noise=0.15)}
SLOPES = {"linear": 1.0, "ReLU": 0.0}  # of the activation below zero: a number, so one program trains both


def make_task(slope):
    net = fn.nets.mlp((16, 16, 16, 2), partial(jax.nn.leaky_relu, negative_slope=slope))
    return fn.Task(net, fn.losses.cross_entropy, fn.adam(0.01), (fn.metrics.accuracy(),))


@partial(jax.jit, static_argnums=4)
def trained(slope, state, train, test, steps):
    """Return the parameters after training from each of the states, and their accuracy on the test part."""
    task = make_task(slope)

    def one(state):
        state, _ = fn.run(task, state, train, steps=steps, batch_size=32, record=fn.Record(every=0))
        return state.params, fn.evaluate(task, state, test)["accuracy"]

    return jax.vmap(one)(state)


def interval(values):
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1) / np.sqrt(len(values)):.3f}"


def main(arguments=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--plot", metavar="FILE")
    options = parser.parse_args(arguments)

    example = jax.ShapeDtypeStruct((1, 2), jnp.float32)
    keys = jax.random.split(jax.random.key(0), options.seeds)
    start = jax.vmap(lambda key: fn.init(make_task(0.0), key, example))(keys)
    accuracy, params, difference = {}, {}, {}
    print(f"accuracy on 300 test points, mean ± standard error over {options.seeds} seeds of weights and batches")
    for data, points in DATA.items():
        train, test = fn.data.split(points, (0.5, 0.5), seed=0)
        for name, slope in SLOPES.items():
            ends, values = trained(slope, start, train.arrays, test.arrays, options.steps)
            params[data, name] = jax.tree.map(lambda leaf: leaf[0], ends)
            accuracy[data, name] = np.asarray(values)
            print(f"{data:5s}  four layers, {name:6s}  {interval(values)}")
        line = LogisticRegression().fit(train.x, train.y).score(test.x, test.y)
        gain = interval(accuracy[data, "ReLU"] - accuracy[data, "linear"])
        print(f"{data:5s}  logistic regression  {line:.3f}; ReLU gains {gain}")

        net = make_task(1.0).net
        layer, one = fn.collapse(net, params[data, "linear"], points.x)
        y = net(params[data, "linear"], points.x)
        difference[data] = float(jnp.abs(layer(one, points.x) - y).max() / jnp.abs(y).max())
        size, share = fn.tree.size(one), difference[data]
        print(f"{data:5s}  the four linear layers are one, of {size} numbers, to {share:.0e} of its size")
    try:
        fn.collapse(make_task(0.0).net, params["moons", "ReLU"], example)
    except fn.errors.DataError as error:
        print(f"with ReLU there is no such layer: {error.problem}")

    if options.plot:
        nets = {name: make_task(slope).net for name, slope in SLOPES.items()}
        pictures = {f"{data}, {name}": partial(nets[name], params[data, name]) for data, name in params}
        draw(pictures).savefig(options.plot)
    return {"accuracy": accuracy, "difference": difference}


def draw(pictures):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5.6), layout="constrained")
    for axes, (title, outputs) in zip(figure.subplots(2, 2).flat, pictures.items(), strict=True):
        points = DATA[title.split(",")[0]]
        (left, bottom), (right, top) = points.x.min(0) - 0.3, points.x.max(0) + 0.3
        x1, x2 = np.linspace(left, right, 121, dtype=np.float32), np.linspace(bottom, top, 121, dtype=np.float32)
        share = jax.nn.softmax(outputs(np.stack(np.meshgrid(x1, x2), -1)))[..., 1]
        filled = axes.contourf(x1, x2, share, levels=np.linspace(0, 1, 11), cmap="PuOr", alpha=0.8)
        for label, marker in ((0, "o"), (1, "^")):
            chosen = points.x[points.y == label][::3]
            axes.plot(*chosen.T, marker, ms=2.5, color="black", mfc="white" if label else "black", lw=0)
        axes.set(title=title, xlabel="x₁", ylabel="x₂")
    figure.colorbar(filled, ax=figure.axes, label="probability of class 1 (△)", shrink=0.6)
    return figure


if __name__ == "__main__":
    main()
