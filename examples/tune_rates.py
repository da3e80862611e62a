"""Learning rates by gradient: a run is a function, so the validation loss at its end has a derivative by each rate.

python examples/tune_rates.py [--plot rates.png]
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np

import fnnet as fn

LAYERS = ("dense_0", "dense_1", "dense_2")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=30, help="updates of the rates")
    parser.add_argument("--plot", metavar="FILE")
    options = parser.parse_args()

    train, validation, test = fn.data.split(fn.data.digits(), (0.6, 0.2, 0.2), seed=0)
    data, held_out = (jax.tree.map(jnp.asarray, part.arrays) for part in (train, validation))
    net = fn.serial(*(fn.dense(32, activation=jnp.tanh) for _ in LAYERS[1:]), fn.dense(10))
    # Each layer's rate is a number of the optimizer's state: a factor on its part of a plain step of rate 1.
    rule = fn.transforms.chain(fn.sgd(1.0), fn.transforms.per_path(dict.fromkeys(LAYERS, 0.01)))
    task = fn.Task(net, fn.losses.cross_entropy, rule, metrics=(fn.metrics.accuracy(),))
    numbers = list(fn.hyperparams(rule.init(fn.init(task, jax.random.key(0), train.x).params)))
    factors = [next(name for name in numbers if layer in name) for layer in LAYERS]

    def trained(log_rates, key):
        """Train for 100 steps, of which memory keeps about twenty for the way back."""
        state = fn.init(task, key, train.x)
        opt_state = fn.with_hyperparams(state.opt_state, dict(zip(factors, jnp.exp(log_rates), strict=True)))
        state, _ = fn.run(task, state._replace(opt_state=opt_state), data, steps=100, batch_size=64, remat=True)
        return fn.evaluate(task, state, held_out)["loss"], state

    # The rates themselves are learnt by Adam, from another start of the weights each time. Beyond the rates that are
    # stable the derivative explodes, so it is clipped, and the best rates of the way are taken.
    outer = fn.transforms.chain(fn.transforms.clip_by_global_norm(0.1), fn.adam(0.25, b1=0.5))

    @jax.jit
    def tune(carry, key):
        log_rates, opt_state = carry
        (loss, _), slope = jax.value_and_grad(trained, has_aux=True)(log_rates, key)
        updates, opt_state = outer.update(slope, opt_state, log_rates)
        return (log_rates + updates, opt_state), (log_rates, loss)

    start = jnp.full(len(LAYERS), np.log(0.01), jnp.float32)
    keys = jax.random.split(jax.random.key(1), options.steps)
    _, (path, losses) = jax.lax.scan(tune, (start, outer.init(start)), keys)
    for number in range(0, options.steps, max(1, options.steps // 6)):
        rates = "  ".join(f"{rate:.4f}" for rate in np.exp(path[number]))
        print(f"{number:3d}  rates {rates}  validation loss {losses[number]:.4f}")
    for name, rates in (("first", start), ("tuned", path[jnp.nanargmin(losses)])):
        _, state = jax.jit(trained)(rates, jax.random.key(2))
        print(f"{name} rates: test accuracy {fn.evaluate(task, state, test.arrays)['accuracy']:.3f}")

    if options.plot:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 3), layout="constrained")
        left, right = figure.subplots(1, 2)
        for layer, rates, style in zip(LAYERS, np.exp(path).T, ("-", "--", ":"), strict=True):
            left.semilogy(rates, style, label=layer)
        left.set(xlabel="update of the rates", ylabel="learning rate")
        left.legend(frameon=False)
        right.semilogy(losses, color="#0072B2")
        right.set(xlabel="update of the rates", ylabel="validation loss after 100 steps")
        figure.savefig(options.plot)


if __name__ == "__main__":
    main()
