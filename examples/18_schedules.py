"""Learning-rate schedules on one task, each at a peak rate of its own; and the range test, which proposes a rate.

python examples/18_schedules.py [--steps 600] [--seeds 9] [--plot schedules.png]

Digits, each in many places of a larger field, are learnt in a number of steps that is given and short, so that noise
and not the data sets the loss. The peak is that of a grid with the least validation loss for a third of the seeds; all
that is said is of the others. The range test raises the rate in one short run: what it suggests is the constant rate of
further runs, beside that of the grid.
"""

import argparse
import functools

import jax
import numpy as np
import scipy.stats
from scheduled.task import BATCH, data, make_task, schedules

import fnnet as fn

RATES = np.geomspace(0.01, 0.56, 6)
SHOWN = {"constant": "#000000", "step": "#D55E00", "cosine": "#0072B2", "one cycle": "#009E73"}


def measured(name, rates, parts, steps, seeds):
    """Return, of each rate and seed, the validation loss, the test accuracy and the training loss step by step."""
    train, validation, test = parts
    settings = {"steps": steps, "batch_size": BATCH, "seeds": seeds, "layout": "vmap", "key": jax.random.key(0)}
    task = functools.partial(make_task, name, steps=steps)
    space = {"rate": [float(rate) for rate in rates]}
    result = fn.sweep(task, space, train, validation=validation, record=fn.Record(every=0), **settings).results[0]
    accuracy = jax.vmap(lambda state: fn.evaluate(task(rate=1.0), state, test)["accuracy"])(result.state)
    found = result.validation["loss"], accuracy, result.history["loss"]
    loss, accuracy, history = (np.asarray(values).reshape(len(rates), seeds, -1) for values in found)
    return np.nan_to_num(loss[..., 0], nan=np.inf), accuracy[..., 0], history


def range_tests(train, steps, runs=5):
    task, keys = make_task("constant", 1.0, steps), jax.random.split(jax.random.key(1), runs)
    settings = {"low": 1e-3, "steps": 400, "batch_size": BATCH}
    return [fn.find_learning_rate(task, train, key=key, **settings) for key in keys]


def interval(differences):
    """Return the mean with half of its 95 % interval, by Student's t over seeds."""
    half = scipy.stats.t.ppf(0.975, len(differences) - 1) * differences.std(ddof=1) / np.sqrt(len(differences))
    return f"{differences.mean():+.4f} ± {half:.4f}"


def main(arguments=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=9, help="of which a third is for tuning")
    parser.add_argument("--names", nargs="+", metavar="NAME", help="of schedules beside constant; otherwise all")
    parser.add_argument("--plot", metavar="FILE")
    options = parser.parse_args(arguments)

    parts, tuning, rows = data(), max(1, options.seeds // 3), {}
    print(f"{options.steps} steps of {BATCH}; {options.seeds - tuning} seeds measured, {tuning} others to tune")
    print("test accuracy, and what it is beyond that of constant: mean with 95 % interval; works: peaks of the grid")
    print(f"whose accuracy is at least 0.9 of the best that any reached; {len(RATES)} from {RATES[0]} to {RATES[-1]}")
    for name in ["constant", *options.names] if options.names else schedules(options.steps):
        loss, accuracy, history = measured(name, RATES, parts, options.steps, options.seeds)
        best = int(loss[:, :tuning].mean(1).argmin())
        rows[name] = {"peak": RATES[best], "by peak": accuracy[:, tuning:], "accuracy": accuracy[best, tuning:]}
        rows[name]["history"] = history[best, tuning:].mean(0)
    top = max(row["by peak"].mean(1).max() for row in rows.values())
    for name, row in sorted(rows.items(), key=lambda item: -item[1]["accuracy"].mean()):
        row["works"] = int((row["by peak"].mean(1) > 0.9 * top).sum())
        beyond = interval(row["accuracy"] - rows["constant"]["accuracy"]) if name != "constant" else ""
        print(f"{name:16s} peak {row['peak']:.3f}  {row['accuracy'].mean():.4f}  {beyond:17s}  works {row['works']}")

    found = range_tests(parts[0], options.steps)
    suggestions = np.array([one.suggestion for one in found])
    suggested = float(np.exp(np.log(suggestions).mean()))
    _, (accuracy,), _ = measured("constant", [suggested], parts, options.steps, options.seeds)
    span = f"{suggestions.min():.3f} to {suggestions.max():.3f}, geometric mean {suggested:.3f}"
    print(f"range test, {len(found)} runs: {span}")
    beyond = interval(accuracy[tuning:] - rows["constant"]["accuracy"])
    print(f"as a constant rate {accuracy[tuning:].mean():.4f}, beyond that of the grid {beyond}")
    if options.plot:
        draw(rows, options.steps, found).savefig(options.plot)
    return {"rows": rows, "suggested": suggested}


def draw(rows, steps, ranges):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for (name, colour), style in zip(SHOWN.items(), ("-", ":", "--", "-."), strict=True):
        if name not in rows:
            continue
        rates = schedules(steps)[name](rows[name]["peak"])(np.arange(steps))
        left.plot(rates, style, color=colour, label=name)
        smooth = np.convolve(rows[name]["history"], np.full(20, 0.05), "valid")
        middle.plot(np.arange(len(smooth)) + 10, smooth, style, color=colour)
    left.set(title="rate, at the tuned peak", xlabel="step", ylabel="learning rate")
    left.legend(fontsize=8)
    middle.set(title="training loss, 20 steps' mean", xlabel="step", ylabel="cross-entropy", yscale="log")
    for found in ranges:
        right.semilogx(found.rates, found.losses, color="0.6")
        right.axvline(found.suggestion, color="#D55E00", linestyle=":", label="suggestions")
    right.set(title="range test", xlabel="learning rate", ylabel="cross-entropy", ylim=(0, 4))
    right.legend(handles=right.lines[1:2], fontsize=8)
    return figure


if __name__ == "__main__":
    main()
