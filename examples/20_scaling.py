"""How does one network's error fall with data, and its loss with compute? Digits, with power laws fitted in logs.

python examples/20_scaling.py [--seeds 10] [--parts 120] [--plot scaling.png]
"""

import argparse
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import fnnet as fn

SIZES = (20, 40, 80, 160, 320, 640, 1280)
NET = fn.nets.mlp((64, 10))
BATCH, STEPS = 32, 20  # examples a step, steps a part
TASK = fn.Task(NET, fn.losses.cross_entropy, fn.adam(1e-3), (fn.metrics.accuracy(),))


@partial(jax.jit, static_argnums=4)
def curves(state, data, rows, test, parts):
    """Return for each state, on its rows of the data, what is measured on the test part after each part of the run."""

    def part(own, state, _):
        state, _ = fn.run(TASK, state, own, steps=STEPS, batch_size=BATCH, record=fn.Record(every=0))
        return state, fn.evaluate(TASK, state, test)

    def one(state, rows):
        return jax.lax.scan(partial(part, fn.data.take(data, rows)), state, None, parts)[1]

    return jax.vmap(one)(state, rows)


def subset(n, size, seed):
    """Return `size` random rows of n, repeated to n: every size is the same program."""
    return np.resize(np.random.default_rng(seed).permutation(n)[:size], n)


def exponent(x, values):
    """Return the power of x, and the factor, that fit the mean of the values over seeds best, by squares of logs."""
    power, constant = np.polyfit(np.log(x), np.log(values.mean(0)), 1)
    return power, np.exp(constant)


def bootstrap(x, values, draws=1000):
    """Return the exponent with the 95% interval of it over seeds drawn anew."""
    rng = np.random.default_rng(0)
    powers = [exponent(x, values[rng.integers(0, len(values), len(values))])[0] for _ in range(draws)]
    return exponent(x, values)[0], *np.quantile(powers, [0.025, 0.975])


def departure(x, values):
    """Return the largest factor between the means and the power law that fits them."""
    power, factor = exponent(x, values)
    return np.exp(np.abs(np.log(values.mean(0) / (factor * x**power))).max())


def main(arguments=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--parts", type=int, default=120, help=f"of a run, of {STEPS} steps each")
    parser.add_argument("--plot", metavar="FILE")
    options = parser.parse_args(arguments)

    pool, test = fn.data.split(fn.data.digits(), (SIZES[-1] / 1797, 1 - SIZES[-1] / 1797), seed=0)
    keys = jax.random.split(jax.random.key(0), options.seeds)
    start = jax.vmap(lambda key: fn.init(TASK, key, pool.x))(keys)
    measured = {}
    for size in SIZES:
        rows = np.array([subset(len(pool.y), size, seed) for seed in range(options.seeds)])
        measured[size] = jax.tree.map(np.asarray, curves(start, pool.arrays, rows, test.arrays, options.parts))

    error = np.stack([1 - measured[size]["accuracy"][:, -1] for size in SIZES], 1)
    loss = measured[SIZES[-1]]["loss"]
    # Forward and backward pass are about three forward passes.
    flops = 3 * fn.summary(NET, jax.ShapeDtypeStruct((BATCH, 64), jnp.float32)).flops
    compute = flops * STEPS * np.arange(1, options.parts + 1)
    steps = STEPS * options.parts
    print(f"test error on {len(test.y)} digits after {steps} steps, mean ± standard error over {options.seeds} seeds:")
    for size, values in zip(SIZES, error.T, strict=True):
        print(f"  {size:5d} examples  {values.mean():.4f} ± {values.std(ddof=1) / np.sqrt(len(values)):.4f}")
    print(f"test loss on {SIZES[-1]} examples:")
    chosen = np.unique(np.geomspace(1, options.parts, 9).round().astype(int)) - 1  # evenly by the logarithm
    for flop, values in zip(compute[chosen], loss.T[chosen], strict=True):
        print(f"  {flop:.1e} FLOPs  {values.mean():.3f} ± {values.std(ddof=1) / np.sqrt(len(values)):.3f}")
    fits = {"data": (np.array(SIZES), error), "compute": (compute[chosen], loss[:, chosen])}
    powers = {name: bootstrap(*fit) for name, fit in fits.items()}
    for name, (power, low, high) in powers.items():
        print(f"{name}: to the {power:.2f}, 95% interval {low:.2f} to {high:.2f} (bootstrap over seeds); ", end="")
        print(f"the means are within a factor of {departure(*fits[name]):.2f} of that line")

    if options.plot:
        draw(fits).savefig(options.plot)
    return {"sizes": SIZES, "error": error, "compute": compute, "loss": loss, "powers": powers}


def draw(fits):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.set(xlabel="training examples", ylabel="test error, 95% interval", title="data, same steps")
    right.set(xlabel="FLOPs of training", ylabel="test loss, 95% interval", title=f"compute, {SIZES[-1]} examples")
    for axes, (x, values) in zip((left, right), fits.values(), strict=True):
        errors = 1.96 * values.std(0, ddof=1) / np.sqrt(len(values))
        axes.errorbar(x, values.mean(0), errors, fmt="o", ms=4, color="#0072B2", capsize=2, label="measured")
        power, factor = exponent(x, values)
        axes.plot(x, factor * x**power, "--", color="#D55E00", label=f"power {power:.2f}")
        axes.set(xscale="log", yscale="log")
        axes.grid(visible=True, alpha=0.3, which="both")
        axes.legend()
    return figure


if __name__ == "__main__":
    main()
