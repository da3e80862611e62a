"""Does what was learnt of some digits help to learn others from few labels? Digits 0–5 first, then 6–9.

Once with the digits in the middle of their field, once each in a place of its own.

python examples/19_transfer.py [--seeds 12] [--steps 300] [--plot transfer.png]
"""

import argparse
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from shifted.digits import FIELD, placed

import fnnet as fn

FIRST, LABELS = 6, (1, 2, 5, 10)  # digits of the first task, labels a class of the second
SETTINGS = {"centred": 0, "shifted": 2}  # by up to so many pixels
ARMS = {"new head, frozen body": "o-", "all, from the first task": "^:", "from scratch": "s--"}
BODY = fn.serial(fn.dense(128, activation=jax.nn.relu), fn.dense(64, activation=jax.nn.relu))


def make_task(classes, frozen=()):
    optimizer = fn.transforms.freeze(fn.adam(3e-3), frozen) if frozen else fn.adam(3e-3)
    return fn.Task(fn.serial(body=BODY, head=fn.dense(classes)), fn.losses.cross_entropy, optimizer)


def problem(shift, seeds):
    """Return the data of the first task, a few of the second by seed and labels a class, and its test data."""
    x, y = fn.data.digits().arrays
    many, rest = np.tile(np.flatnonzero(y < FIRST), 10), np.flatnonzero(y >= FIRST)
    pool, test = fn.data.split((x[rest], y[rest] - FIRST), (0.5, 0.5), seed=0)
    pool = placed(pool[0], shift, 1), pool[1]
    few = {labels: fn.data.take(pool, np.array([rows(pool[1], labels, s) for s in range(seeds)])) for labels in LABELS}
    test = placed(np.tile(test[0], (4, 1)), shift, 2), np.tile(test[1], 4)
    return (placed(x[many], shift, 0), y[many]), few, test


def rows(y, labels, seed):
    """Return `labels` random rows of each class, repeated to ten a class: so all sizes are one program."""
    rng = np.random.default_rng(seed)
    chosen = [rng.permutation(np.flatnonzero(y == label))[:labels] for label in range(10 - FIRST)]
    return np.tile(np.concatenate(chosen), 10 // labels)


def starts(task, seed, seeds):
    keys = jax.random.split(jax.random.key(seed), seeds)
    return jax.vmap(lambda key: fn.init(task, key, jax.ShapeDtypeStruct((1, FIELD**2), jnp.float32)))(keys)


@partial(jax.jit, static_argnums=(0, 3, 4))
def trained(task, state, data, steps, axis=0):
    """Return the parameters after training from each state, on data with an `axis` of seeds or on the same (None)."""
    run = partial(fn.run, task, steps=steps, batch_size=40, record=fn.Record(every=0))
    return jax.vmap(run, (0, axis))(state, data)[0].params


def accuracy(net, params, test):
    return np.asarray(jax.vmap(lambda params: (net(params, test[0]).argmax(-1) == test[1]).mean())(params))


def interval(values, sign=""):
    return f"{np.mean(values):{sign}.3f} ± {1.96 * np.std(values, ddof=1) / np.sqrt(len(values)):.3f}"


def main(arguments=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--before", type=int, default=1500, help="steps of the first task")
    parser.add_argument("--steps", type=int, default=300, help="steps of the second, the same for all")
    parser.add_argument("--plot", metavar="FILE")
    options = parser.parse_args(arguments)
    found = {}
    before, frozen, free = make_task(FIRST), make_task(10 - FIRST, ("body",)), make_task(10 - FIRST)
    print(f"accuracy on digits 6–9 by labels a class ({', '.join(ARMS)}):")
    print(f"mean ± 1.96 standard errors over {options.seeds} seeds, {options.steps} steps each")
    for setting, shift in SETTINGS.items():
        first, few, test = problem(shift, options.seeds)
        body = trained(before, starts(before, 0, options.seeds), first, options.before, None)["body"]
        scratch = starts(free, 1, options.seeds)
        params = scratch.params | {"body": body}
        begun = starts(frozen, 1, options.seeds)._replace(params=params), scratch._replace(params=params), scratch
        for labels, data in few.items():
            for arm, task, state in zip(ARMS, (frozen, free, free), begun, strict=True):
                found[setting, labels, arm] = accuracy(free.net, trained(task, state, data, options.steps), test)
            values = [found[setting, labels, arm] for arm in ARMS]
            margin = interval(values[0] - values[2], "+")
            print(f"  {setting}, {labels:2d}: {', '.join(map(interval, values))}; frozen less from scratch {margin}")
    if options.plot:
        draw(found).savefig(options.plot)
    return {"accuracy": found}


def draw(found):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.6), layout="constrained")
    for axes, setting in zip(figure.subplots(1, 2, sharey=True), SETTINGS, strict=True):
        for (arm, style), colour in zip(ARMS.items(), ("#0072B2", "#009E73", "#D55E00"), strict=True):
            values = np.array([found[setting, labels, arm] for labels in LABELS])
            errors = 1.96 * values.std(1, ddof=1) / np.sqrt(values.shape[1])
            axes.errorbar(LABELS, values.mean(1), errors, fmt=style, color=colour, capsize=3, label=arm)
        axes.set(xlabel="labels a class", ylabel="accuracy, 95% interval", title=f"{setting} digits", xticks=LABELS)
        axes.grid(visible=True, alpha=0.3)
    axes.legend()
    return figure


if __name__ == "__main__":
    main()
