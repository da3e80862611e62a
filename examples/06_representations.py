"""Each layer is a new view of the data: handwritten digits as every layer sees them, and how well a line parts them.

A linear classifier is fitted to each layer's outputs, before training and after, on the training set, and is tested on
other digits. Pictures: the first two principal components of each layer's outputs, and the accuracy by layer.

python examples/06_representations.py [--plot representations.png] [--epochs 20] [--seeds 3]
"""

import argparse
import pathlib

import jax
import numpy as np

import fnnet as fn

LAYERS = (64, 32, 16)


def make_task():
    net = fn.serial(*(fn.dense(width, activation=jax.nn.relu) for width in LAYERS), fn.dense(10))
    return fn.Task(net, fn.losses.cross_entropy, fn.adam(3e-3), metrics=(fn.metrics.accuracy(),))


def probed(task, train, test, *, seed, epochs):
    """Return the net's parameters and its probes, before training and after."""
    start = fn.init(task, jax.random.key(seed), train.x)
    result = fn.fit(task, train.arrays, key=jax.random.key(seed), epochs=epochs, batch_size=32)
    probes = {
        name: fn.inspection.linear_probe(task.net, params, train.arrays, test.arrays)
        for name, params in (("at the start", start.params), ("trained", result.state.params))
    }
    return result.state.params, probes


def main(arguments=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--plot", metavar="FILE")
    options = parser.parse_args(arguments)

    task = make_task()
    train, test = fn.data.split(fn.data.digits(), (0.7, 0.3), seed=0)
    runs = [probed(task, train, test, seed=seed, epochs=options.epochs) for seed in range(options.seeds)]
    accuracies = {name: np.array([probes[name].accuracy for _, probes in runs]) for name in ("at the start", "trained")}
    paths = runs[0][1]["trained"].paths
    print(f"accuracy of a linear probe on {len(test.y)} digits, mean ± std over {options.seeds} seeds")
    for n, path in enumerate(paths):
        columns = [f"{name} {rows[:, n].mean():.3f} ± {rows[:, n].std():.3f}" for name, rows in accuracies.items()]
        print(f"{path:8s}  " + "  ".join(columns))

    if options.plot:
        params, probes = runs[0]
        values = fn.inspection.activations(task.net, params, test.x)
        parts = {"input": test.x} | {path: values[path] for path in paths[1:]}
        views = {path: fn.inspection.representation(part) for path, part in parts.items()}
        pictures = {
            "": fn.plotting.representation(views, test.y, classes=test.classes, title="digits, layer by layer"),
            "_probe": fn.plotting.probe_curve(probes, title="digits"),
        }
        file = pathlib.Path(options.plot)
        for suffix, figure in pictures.items():
            figure.savefig(file.with_stem(file.stem + suffix))
    return {"paths": paths} | accuracies


if __name__ == "__main__":
    main()
