"""Features made by hand, or learnt? Histograms of gradients, pixels and a convolutional network, by number of examples.

python examples/08_features.py [--seeds 5] [--steps 500] [--plot features.png]
"""

import argparse
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import fnnet as fn

SIZES = (25, 75, 225, 675)
CELL, BINS, BLOCK, EPS, MOST = 2, 9, 2, 0.01, 0.2


def cells(images):
    """Return a histogram a cell: a pixel votes by the length of its gradient, for the two directions nearest to its."""
    edged = jnp.pad(images[..., 0], [(0, 0)] * (images.ndim - 3) + [(1, 1), (1, 1)], mode="edge")
    along, down = edged[..., 1:-1, 2:] - edged[..., 1:-1, :-2], edged[..., 2:, 1:-1] - edged[..., :-2, 1:-1]
    place = jnp.mod(jnp.arctan2(down, along), np.pi) / np.pi * BINS - 0.5
    low = jnp.floor(place)
    first, second = (jax.nn.one_hot(jnp.mod(low + n, BINS).astype(int), BINS, dtype=images.dtype) for n in (0, 1))
    share = (place - low)[..., None]
    votes = jnp.hypot(along, down)[..., None] * (first * (1 - share) + second * share)
    *batch, height, width, _ = votes.shape
    return votes.reshape(*batch, height // CELL, CELL, width // CELL, CELL, BINS).sum((-4, -2))


def hog(images):
    """Return the cells in overlapping blocks, each normalised, clipped and normalised again (Dalal & Triggs 2005)."""
    histograms = cells(images)
    rows, columns = (size - BLOCK + 1 for size in histograms.shape[-3:-1])
    parts = [histograms[..., i : i + rows, j : j + columns, :] for i, j in np.ndindex(BLOCK, BLOCK)]
    return unit(jnp.minimum(unit(jnp.concatenate(parts, -1)), MOST)).reshape(*images.shape[:-3], -1)


def unit(v):
    return v / jnp.sqrt(jnp.sum(v * v, -1, keepdims=True) + EPS**2)


CONVOLUTIONS = fn.conv(16, 3, activation=jax.nn.relu), fn.max_pool(2), fn.conv(32, 3, activation=jax.nn.relu)
NETS = {  # a layer without parameters is a function; each with its learning rate
    "pixels, logistic regression": (fn.serial(fn.flatten(), fn.dense(10)), 0.01),
    "HOG, logistic regression": (fn.serial(hog, fn.dense(10)), 0.01),
    "network, end to end": (fn.serial(*CONVOLUTIONS, fn.max_pool(2), fn.flatten(), fn.dense(10)), 0.003),
}


@partial(jax.jit, static_argnums=(0, 5), compiler_options=fn.compiler_options())
def accuracies(task, states, data, rows, test, steps):
    """Return the test accuracy after training from each state on its rows of the data, one after the other."""

    def one(member):
        state, _ = fn.run(task, member[0], fn.data.take(data, member[1]), steps=steps, batch_size=25)
        return fn.evaluate(task, state, test)["accuracy"]

    return jax.lax.map(one, (states, rows))


def subsets(n, size, seeds):
    """Return `size` random rows of n for each seed, repeated to the largest size: so every size is one program."""
    return np.array([np.resize(np.random.default_rng(seed).permutation(n)[:size], SIZES[-1]) for seed in range(seeds)])


def interval(values):
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1) / np.sqrt(len(values)):.3f}"


def main(arguments=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--plot", metavar="FILE")
    options = parser.parse_args(arguments)
    pool, test = fn.data.split(fn.data.digits(images=True), (0.5, 0.5), seed=0)
    keys, found = jax.random.split(jax.random.key(0), options.seeds), {}
    print(f"accuracy on {len(test.y)} digits, mean ± standard error over {options.seeds} seeds, {options.steps} steps")
    for name, (net, rate) in NETS.items():
        task = fn.Task(net, fn.losses.cross_entropy, fn.adam(rate), (fn.metrics.accuracy(),))
        states = jax.vmap(partial(fn.init, task), (0, None))(keys, pool.x)
        for size in SIZES:
            rows = subsets(len(pool.y), size, options.seeds)
            found[name, size] = np.asarray(accuracies(task, states, pool.arrays, rows, test.arrays, options.steps))
            print(f"  {name:27s}  {size:3d} examples  {interval(found[name, size])}")
    for size in SIZES:
        pixels, edges, network = (found[name, size] for name in NETS)
        print(f"  {size:3d}: HOG less pixels {interval(edges - pixels)}, network less HOG {interval(network - edges)}")
    if options.plot:
        draw(found, pool.x[0]).savefig(options.plot)
    return {"accuracy": found, "hog": hog}


def draw(found, image):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.5))
    left.imshow(image[..., 0], cmap="gray_r", alpha=0.5)
    for (row, column, n), votes in np.ndenumerate(np.asarray(cells(jnp.asarray(image)))):
        angle = np.pi * (n + 0.5) / BINS + np.pi / 2  # along the edge, across the gradient
        x, y = np.cos(angle) * votes / 3, np.sin(angle) * votes / 3
        left.plot(column * CELL + 0.5 + np.array([-x, x]), row * CELL + 0.5 + np.array([-y, y]), color="#D55E00", lw=1)
    left.set(title="edges by cell", xticks=[], yticks=[])
    for name, style, colour in zip(NETS, ("s--", "^:", "o-"), ("#D55E00", "#009E73", "#0072B2"), strict=True):
        values = np.array([found[name, size] for size in SIZES])
        errors = 2 * values.std(1, ddof=1) / np.sqrt(values.shape[1])
        right.errorbar(range(len(SIZES)), values.mean(1), errors, fmt=style, color=colour, capsize=3, label=name)
    right.set(xlabel="training examples", ylabel="test accuracy ± 2 standard errors", title="digits")
    right.set_xticks(range(len(SIZES)), SIZES)
    right.grid(visible=True, alpha=0.3)
    right.legend()
    return figure


if __name__ == "__main__":
    main()
