"""Over which learning rates does a net learn, with batch normalization and without? And what does inference use?

python examples/16_batch_norm.py [--seeds 8] [--steps 300] [--plot batch_norm.png]

A net for digits is trained by SGD, its hidden layers normalized or not. Counted is over how many decades of the rate
its test accuracy is at least a bound, between neighbouring rates by a straight line. Then the test set is cut into
batches: by a batch's statistics an answer depends on the other examples in it, by the running ones it does not.
"""

import argparse

import jax
import numpy as np
from scipy.special import stdtrit

import fnnet as fn

RATES, BOUNDS = 2.0 ** np.arange(-9, 5), (0.7, 0.8, 0.9)
TESTED, SIZES = 360, (1, 2, 4, 8, 24, 72, 360)  # rows of the test set, and of the batches that it is cut into


def make_task(normalized, learning_rate):
    norm = (fn.batch_norm(momentum=0.9),) if normalized else ()  # the default momentum, .99, suits longer runs
    net = fn.serial(*3 * (fn.dense(32), *norm, jax.nn.relu), fn.dense(10))
    return fn.Task(net, fn.losses.cross_entropy, fn.sgd(learning_rate), (fn.metrics.accuracy(),))


def decades(accuracy, bound):
    """Return for each seed over how many decades of the rate its accuracy, (rates, seeds), is at least the bound."""
    ends = np.stack([accuracy[:-1], accuracy[1:]]) - bound
    above, below = np.maximum(ends.max(0), 0), np.maximum(-ends.min(0), 0)
    return (np.diff(np.log10(RATES))[:, None] * above / np.maximum(above + below, 1e-9)).sum(0)


def error(values):
    return values.std(-1, ddof=1) / np.sqrt(values.shape[-1])


def shown(values):
    return f"{values.mean():.3f} ± {error(values):.3f}"


def ratio(values, by):
    """Return the ratio of two means over the same seeds and its 95% interval, of Student's t to first order."""
    if not by.mean():
        return 3 * (np.nan,)
    mean = values.mean() / by.mean()
    half = stdtrit(len(by) - 1, 0.975) * error(values - mean * by) / by.mean()
    return mean, mean - half, mean + half


@jax.jit
@jax.vmap
def inference(state, x):
    """Return the outputs by running statistics, of all rows and of one by one, and by those of batches of each size."""
    net, of = make_task(True, 1.0).net, (state.params, state.state)
    own = {size: jax.vmap(lambda rows: net.apply(*of, rows, train=True)[0])(x.reshape(-1, size, 64)) for size in SIZES}
    alone = jax.lax.map(lambda row: net.apply(*of, row)[0], x)
    return net.apply(*of, x)[0], alone, {size: cut.reshape(len(x), -1) for size, cut in own.items()}


def main(arguments=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--plot", metavar="FILE")
    options = parser.parse_args(arguments)
    train, test = fn.data.split(fn.data.digits(), (1 - TESTED / 1797, TESTED / 1797), seed=0)
    test = fn.data.take(test, np.random.default_rng(0).permutation(TESTED))  # its first rows lack some classes
    space = {"normalized": [False, True], "learning_rate": RATES.tolist()}
    settings = {"seeds": options.seeds, "steps": options.steps, "batch_size": 64, "layout": "vmap"}
    results = fn.sweep(make_task, space, train, key=jax.random.key(0), validation=test, **settings).results
    found = [np.nan_to_num(result.validation["accuracy"]).reshape(len(RATES), -1) for result in results]  # 0 for NaN
    print(f"test accuracy on {TESTED} digits, {options.steps} steps, mean ± standard error over {options.seeds} seeds:")
    for rate, without, normalized in zip(RATES, *found, strict=True):
        print(f"rate {rate:7.4f}  without {shown(without)}  with batch normalization {shown(normalized)}")
    widths = {bound: [decades(values, bound) for values in found] for bound in BOUNDS}
    for bound, (without, normalized) in widths.items():
        mean, low, high = ratio(normalized, without)
        print(f"at least {bound} over {shown(without)} decades of the rate without, {shown(normalized)} with:", end=" ")
        print(f"{mean:.2f} times, 95% interval {low:.2f} to {high:.2f}: {'wider' if low > 1 else 'not shown wider'}")
    best = int(found[1].mean(1).argmax())
    states = jax.tree.map(lambda leaf: leaf[best * options.seeds :][: options.seeds], results[1].state)
    whole, alone, own = inference(states, np.tile(test.x, (options.seeds, 1, 1)))
    running, *by_size = ((np.asarray(out.argmax(-1)) == test.y).mean(1) for out in (whole, *own.values()))
    moved = float(abs(alone - whole).max()), float(abs(own[2] - own[TESTED]).max())
    print(
        f"with batch normalization at {RATES[best]:g}, by running statistics: {shown(running)}; by those of batches of"
    )
    print("\n".join(f"  {size:3d}: {shown(values)}" for size, values in zip(SIZES, by_size, strict=True)))
    print(f"alone and among all, by running statistics, outputs differ by at most {moved[0]:.1g};", end=" ")
    print(f"in pairs and all at once, by those of the batch, by up to {moved[1]:.1f}")
    if options.plot:
        draw(found, running, by_size).savefig(options.plot)
    return {"accuracy": found, "widths": widths, "running": running, "by_size": by_size, "moved": moved}


def draw(found, running, by_size):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.5, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    left.set(xlabel="learning rate", ylabel="test accuracy, mean ± standard error", title="digits, SGD")
    right.set(xlabel="examples in a batch at inference", title="with batch normalization")
    names = "without", "with batch normalization", "statistics of the batch", "running statistics"
    series = (*found, np.array(by_size), np.tile(running, (len(SIZES), 1)))
    for n, (name, values) in enumerate(zip(names, series, strict=True)):
        axes, x = ((left, RATES), (right, SIZES))[n // 2]
        mean, look = values.mean(1), {"color": ("#D55E00", "#0072B2")[n % 2]}
        axes.plot(x, mean, ("s--", "o-")[n % 2], ms=4, label=name, **look)
        axes.fill_between(x, mean - error(values), mean + error(values), alpha=0.3, linewidth=0, **look)
        axes.set(xscale="log", ylim=(0, 1.28), yticks=np.linspace(0, 1, 6))
        axes.legend(loc="upper center", fontsize="small")
        axes.grid(visible=True, alpha=0.3)
    return figure


if __name__ == "__main__":
    main()
