"""Do the rules of thumb for widths beat uniform widths? On spirals and on digits, at equal numbers of parameters.

python examples/09_widths.py [--seeds 10] [--steps 1000] [--scales 0.25 1] [--plot widths.png]
"""

import argparse

import jax
import numpy as np

import fnnet as fn

DEPTH = 4
TASKS = {  # data, and the rule for inputs of so many dimensions
    "spirals": (fn.data.spirals(1200, classes=3, noise=0.05), "expand"),
    "digits": (fn.data.digits(), "reduce"),
}


def make_task(widths):
    net = fn.nets.mlp(widths)
    return fn.Task(net, fn.losses.cross_entropy, fn.adam(5e-3), (fn.metrics.accuracy(),))


def proposals(data, rule, scale):
    """Return the widths by the rule, and uniform ones of as many parameters: `scale` times those the rule proposes."""
    inputs, outputs = data.x.shape[1], len(data.classes)
    own = fn.nets.widths(inputs, outputs, DEPTH, rule)
    budget = round(scale * size(inputs, own))
    return {name: fn.nets.widths(inputs, outputs, DEPTH, name, parameters=budget) for name in (rule, "uniform")}


def size(inputs, widths):
    return sum((n + 1) * m for n, m in zip((inputs, *widths), widths, strict=False))


def accuracies(data, widths, options):
    """Return, by widths, the test accuracy of each seed, all on the same batches."""
    train, test = fn.data.split(data, (0.5, 0.5), seed=0)
    space = [{"widths": one} for one in widths]
    settings = {"steps": options.steps, "batch_size": 32, "seeds": options.seeds, "layout": "vmap"}
    result = fn.sweep(make_task, space, train, key=jax.random.key(0), validation=test, **settings)
    values = np.array([record["val_accuracy"] for record in result.table]).reshape(len(widths), -1)
    return dict(zip(widths, values, strict=True))


def interval(values):
    """Return the mean and its standard error."""
    return np.mean(values), np.std(values, ddof=1) / np.sqrt(len(values))


def verdict(mean, error):
    return "ahead" if mean > 2 * error else "behind" if mean < -2 * error else "within two standard errors"


def main(arguments=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--scales", type=float, nargs="+", default=[0.25, 1.0], help="of the parameters proposed")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=TASKS)
    parser.add_argument("--plot", metavar="FILE")
    options = parser.parse_args(arguments)

    rows, verdicts = [], []
    print(f"test accuracy, mean ± standard error over {options.seeds} seeds; {DEPTH} layers, {options.steps} steps")
    for name in options.tasks:
        data, rule = TASKS[name]
        pairs = [proposals(data, rule, scale) for scale in options.scales]
        found = accuracies(data, [widths for pair in pairs for widths in pair.values()], options)
        for pair in pairs:
            for kind, widths in pair.items():
                parameters, values = size(data.x.shape[1], widths), found[widths]
                rows.append({"task": name, "rule": kind, "parameters": parameters, "accuracy": values})
                mean, error = interval(values)
                text = " → ".join(map(str, (data.x.shape[1], *widths)))
                print(f"  {name:8s} {kind:8s} {text:24s} {parameters:5d} parameters  {mean:.3f} ± {error:.3f}")
            mean, error = interval(found[pair[rule]] - found[pair["uniform"]])
            verdicts.append(verdict(mean, error))
            print(f"  {name:8s} {rule} less uniform: {mean:+.3f} ± {error:.3f}, {verdicts[-1]}")
    print(
        f"of {len(verdicts)} comparisons the rule is ahead in {verdicts.count('ahead')} by two standard errors, ",
        end="",
    )
    print(f"behind in {verdicts.count('behind')}")

    if options.plot:
        draw(rows).savefig(options.plot)
    return {"rows": rows}


def draw(rows):
    from matplotlib.figure import Figure

    tasks = list(dict.fromkeys(row["task"] for row in rows))
    figure = Figure(figsize=(3.8 * len(tasks), 3.4), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(tasks), squeeze=False)[0], tasks, strict=True):
        for kind, colour, marker in ((TASKS[name][1], "#0072B2", "o-"), ("uniform", "#D55E00", "s--")):
            own = [row for row in rows if row["task"] == name and row["rule"] == kind]
            means, errors = np.array([interval(row["accuracy"]) for row in own]).T
            sizes = [row["parameters"] for row in own]
            axes.errorbar(sizes, means, 2 * errors, fmt=marker, color=colour, capsize=3, label=kind)
        axes.set(xlabel="parameters", ylabel="test accuracy ± 2 standard errors", title=name)
        axes.grid(visible=True, alpha=0.3)
        axes.legend()
    return figure


if __name__ == "__main__":
    main()
