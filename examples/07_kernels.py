"""Kernels of a catalogue beside features that are learnt: support vector machines and a network on the same data.

python examples/07_kernels.py [--seeds 5] [--steps 1500] [--plot kernels.png]
"""

import argparse
from functools import partial

import jax
import numpy as np
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVC

import fnnet as fn

DATA = {"spirals": fn.data.spirals(600, turns=1.0, noise=0.04), "digits": fn.data.digits()}
WIDTHS = {"spirals": (32, 16, 2), "digits": (64, 32, 10)}
C, GAMMA = [0.1, 1.0, 10.0, 100.0], [0.1, 1.0, 10.0]
KERNELS = {  # the strengths and widths among which cross-validation chooses
    "linear": {"kernel": ["linear"], "C": C},
    "polynomial": {"kernel": ["poly"], "C": C, "degree": [2, 3], "coef0": [1.0], "gamma": GAMMA},
    "Gaussian": {"kernel": ["rbf"], "C": C, "gamma": GAMMA},
}


@partial(jax.jit, static_argnums=(0, 4))
def trained(task, state, train, test, steps):
    """Return the parameters after training each state on its own split, and the accuracy on its test part."""

    def one(state, train, test):
        state, _ = fn.run(task, state, train, steps=steps, batch_size=32, record=fn.Record(every=0))
        return state.params, fn.evaluate(task, state, test)["accuracy"]

    return jax.vmap(one)(state, train, test)


def splits(data, size, seeds):
    """Return random halves of the data, one a seed along a leading axis, the first of at most `size` examples."""
    parts = [fn.data.split(data.arrays, (0.5, 0.5), seed=seed) for seed in range(seeds)]
    parts = [(fn.data.take(train, slice(size)), test) for train, test in parts]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *parts)


def machines(train, test, folds=3):
    """Return by kernel the machine that cross-validation on the training part chooses, and its test accuracy."""
    found = {name: GridSearchCV(SVC(), grid, cv=folds).fit(*train) for name, grid in KERNELS.items()}
    return {name: (search.best_estimator_, search.score(*test)) for name, search in found.items()}


def interval(values):
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1) / np.sqrt(len(values)):.3f}"


def main(arguments=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--size", type=int, default=400, help="most training examples")
    parser.add_argument("--plot", metavar="FILE")
    options = parser.parse_args(arguments)

    accuracy = {}
    print(f"test accuracy, mean ± standard error over {options.seeds} splits; C, gamma and degree by cross-validation")
    for data, points in DATA.items():
        train, test = splits(points, options.size, options.seeds)
        found = [machines(*fn.data.take((train, test), seed)) for seed in range(options.seeds)]
        task = fn.Task(fn.nets.mlp(WIDTHS[data]), fn.losses.cross_entropy, fn.adam(3e-3), (fn.metrics.accuracy(),))
        keys = jax.random.split(jax.random.key(0), options.seeds)
        state = jax.vmap(partial(fn.init, task), (0, None))(keys, train[0][0])
        params, values = trained(task, state, train, test, options.steps)
        accuracy |= {(data, name): np.array([each[name][1] for each in found]) for name in KERNELS}
        accuracy[data, "network"] = np.asarray(values)
        chosen = found[0]["Gaussian"][0]
        print(f"{data}: {train[1].shape[1]} training examples; split 0: Gaussian, C={chosen.C}, gamma={chosen.gamma}")
        for name in KERNELS:
            values = accuracy[data, name]
            print(f"  {name:10s} {interval(values)}; less network {interval(values - accuracy[data, 'network'])}")
        print(f"  network    {interval(accuracy[data, 'network'])}, widths and rate not tuned")
        if data == "spirals":
            regions = {name: machine.predict for name, (machine, _) in found[0].items()}
            first = partial(task.net, jax.tree.map(lambda leaf: leaf[0], params))
            regions["network"] = lambda x, logits=first: np.asarray(logits(x).argmax(-1))
    if options.plot:
        draw(regions, accuracy).savefig(options.plot)
    return {"accuracy": accuracy}


def draw(regions, accuracy):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.5, 4.8), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1.2, 1))
    points, axis = DATA["spirals"], np.linspace(-1.2, 1.2, 121, dtype=np.float32)
    grid = np.stack(np.meshgrid(axis, axis), -1)
    for axes, (name, predict) in zip(above.subplots(1, 4), regions.items(), strict=True):
        labels = predict(grid.reshape(-1, 2)).reshape(grid.shape[:2])
        axes.contourf(axis, axis, labels, levels=(-0.5, 0.5, 1.5), colors=("#E69F00", "#56B4E9"), alpha=0.5)
        for label, marker in ((0, "o"), (1, "^")):
            axes.plot(*points.x[points.y == label].T[:, ::2], marker, ms=2, color="black", mfc="w" if label else "k")
        axes.set(title=name, xlabel="x₁", ylabel="x₂", aspect="equal")
    for axes, data in zip(below.subplots(1, 2), DATA, strict=True):
        for row, (name, marker) in enumerate(zip(regions, "so^D", strict=True)):
            values = accuracy[data, name]
            error = 2 * values.std(ddof=1) / np.sqrt(len(values))
            axes.errorbar(values.mean(), row, xerr=error, fmt=marker, color="#0072B2", capsize=3)
        axes.set_yticks(range(len(regions)), regions)
        axes.set(xlabel="test accuracy ± 2 standard errors", title=data, ylim=(len(regions) - 0.5, -0.5))
        axes.locator_params(axis="x", nbins=5)
        axes.grid(visible=True, alpha=0.3)
    return figure


if __name__ == "__main__":
    main()
