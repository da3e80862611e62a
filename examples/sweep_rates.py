"""Sixteen learning rates in one program: a rate is a leaf of the optimizer's state, so a sweep is a vmap.

python examples/sweep_rates.py [--plot rates.png]
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np

import fnnet as fn


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--plot", metavar="FILE")
    options = parser.parse_args()

    train, test = fn.data.split(fn.data.moons(400, noise=0.2), (0.5, 0.5), seed=0)
    data = jax.tree.map(jnp.asarray, train.arrays)
    net = fn.serial(fn.dense(16, activation=jnp.tanh), fn.dense(2))
    task = fn.Task(net, fn.losses.cross_entropy, fn.sgd(1.0, momentum=0.9), metrics=(fn.metrics.accuracy(),))

    def trained(rate):
        state = fn.init(task, jax.random.key(0), train.x)
        state = state._replace(opt_state=fn.transforms.with_hyperparams(state.opt_state, {"learning_rate": rate}))
        state, history = fn.run(task, state, data, steps=options.steps, batch_size=32)
        return fn.evaluate(task, state, test.arrays)["accuracy"], history["loss"]

    rates = np.logspace(-4, 1.5, 16)
    accuracy, loss = jax.jit(jax.vmap(trained))(jnp.asarray(rates, jnp.float32))
    for rate, share, last in zip(rates, accuracy, loss[:, -20:].mean(1), strict=True):
        print(f"rate {rate:8.5f}  accuracy {share:.3f}  loss {last:.3f}")

    if options.plot:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(5, 3.5), layout="constrained")
        axes = figure.subplots()
        axes.semilogx(rates, accuracy, "o-", color="#0072B2")
        axes.set(xlabel="learning rate", ylabel="test accuracy", title="two moons, SGD with momentum .9")
        axes.grid(visible=True, alpha=0.3)
        figure.savefig(options.plot)


if __name__ == "__main__":
    main()
