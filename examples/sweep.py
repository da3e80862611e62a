"""Which learning rate and width go with which result: rates of one width are one program, each width another.

python examples/sweep.py [--plot sweep.png]
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np

import fnnet as fn


def make_task(width, learning_rate):
    net = fn.serial(fn.dense(width, activation=jnp.tanh), fn.dense(2))
    return fn.Task(net, fn.losses.cross_entropy, fn.sgd(learning_rate, momentum=0.9), metrics=(fn.metrics.accuracy(),))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--plot", metavar="FILE")
    options = parser.parse_args()

    train, validation = fn.data.split(fn.data.moons(400, noise=0.2), (0.5, 0.5), seed=0)
    result = fn.sweep(
        make_task,
        {"width": [4, 16, 64], "learning_rate": np.logspace(-4, 0.5, 10)},
        train,
        key=jax.random.key(0),
        steps=options.steps,
        batch_size=32,
        seeds=3,
        validation=validation,
    )
    for report in result.layout:
        print(f"width {report.fixed['width']:2d}: {report.members} nets by {report.layout}")
    for point in result.ranking("val_accuracy", "max")[:5]:
        accuracy = f"{point['mean']:.3f} ± {point['std']:.3f}"
        print(f"accuracy {accuracy}  width {point['width']:2d}  rate {point['learning_rate']:.4f}")

    if options.plot:
        names = ["width", "learning_rate"]
        fn.plotting.parallel_coordinates(result.table, names, "val_accuracy", title="two moons").savefig(options.plot)


if __name__ == "__main__":
    main()
