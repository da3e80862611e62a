"""What hidden units buy on two spirals: the regions that networks of 0, 4 and 32 hidden units draw.

python examples/decision_regions.py [--plot regions.png]
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np

import fnnet as fn


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--plot", metavar="FILE")
    options = parser.parse_args()

    spirals = fn.data.spirals(300, turns=1.0)
    train, test = fn.data.split(spirals, (0.7, 0.3), seed=0)
    axis = np.linspace(-1.2, 1.2, 121, dtype=np.float32)
    grid = np.stack(np.meshgrid(axis, axis), -1)
    regions = {}
    for units in (0, 4, 32):
        hidden = [fn.dense(units, activation=jnp.tanh), fn.dense(units, activation=jnp.tanh)] if units else []
        task = fn.Task(
            fn.serial(*hidden, fn.dense(2)), fn.losses.cross_entropy, fn.adam(0.01), (fn.metrics.accuracy(),)
        )
        result = fn.fit(task, train.arrays, key=jax.random.key(0), steps=options.steps, batch_size=32)
        accuracy = fn.evaluate(task, result.state, test.arrays)["accuracy"]
        print(f"{units:3d} units in each of two hidden layers: test accuracy {accuracy:.3f}")
        # Leading axes are batch: the whole grid goes through at once.
        regions[units] = jax.nn.softmax(task.net(result.state.params, jnp.asarray(grid)))[..., 1]

    if options.plot:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 3.2), layout="constrained")
        for axes, (units, share) in zip(figure.subplots(1, 3), regions.items(), strict=True):
            axes.contourf(axis, axis, share, levels=np.linspace(0, 1, 11), cmap="PuOr", alpha=0.8)
            for label, marker in ((0, "o"), (1, "^")):
                points = spirals.x[spirals.y == label]
                axes.plot(points[:, 0], points[:, 1], marker, ms=2.5, color="black", mfc="white" if label else "black")
            axes.set(title=f"{units} hidden units", aspect="equal", xlabel="x₁", ylabel="x₂")
        figure.savefig(options.plot)


if __name__ == "__main__":
    main()
