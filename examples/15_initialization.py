"""What initial weights decide: whether the units of a layer ever differ, and whether fifty layers pass a signal on.

python examples/15_initialization.py [--steps 600] [--seeds 3] [--depth 50] [--quick] [--plot initialization.png]

Symmetry (initialization/symmetry.py): nets of two hidden layers, of digits, from equal weights and from random ones.
Printed are how many units of a layer differ, to the bit, at most during training, the accuracy on other digits, and by
how much the outputs differ from those of the net of one unit a layer to which the weights of equal units add up.
Variance (initialization/variance.py): of the activations of dense layers of 100 units, for normal inputs, in float64,
by activation and initializer the logarithm of the last layer's over the first one's, over units and examples; with the
matching initializer also over examples alone: what is left of their differences.
"""

import argparse

import numpy as np
from initialization.symmetry import PARTS, UNITS, spread, symmetry
from initialization.variance import ACTIVATIONS, INITIALIZERS, MATCHING, WIDTH, variances

import fnnet as fn

BOUND = 200  # factor either way: the library's law for matching initializers
END = 9  # the picture ends at a factor of 10^9 either way
QUICK = ("sigmoid", "relu", "gelu"), ("zeros", "normal 1", "lecun_normal", "glorot_uniform", "he_normal")


def tenth(value):
    return np.round(value, 1) + 0.0  # no -0.0


def print_symmetry(found):
    for name, own in found.items():
        accuracy = "{:.3f} ± {:.3f}".format(*spread(own["accuracy"]))
        differ = f"units that differ: {own['distinct']:2d}"
        print(f"{name:26s}{differ}   accuracy {accuracy}   outputs from one unit's {own['from one unit']:.1e}")
    for name in ("zeros", "constant 0.1"):
        less = "{:.3f} ± {:.3f}".format(*spread(found["random"]["accuracy"] - found[name]["accuracy"]))
        same = "are one unit" if found[name]["distinct"] == 1 else "do not stay equal"
        print(
            f"from {name}: the units of each layer {same} throughout, and the accuracy is {less} less than from random"
        )


def print_variance(found, activations, initializers):
    widths = {name: max(8, len(name) + 2) for name in activations}
    print(" " * 14 + "".join(f"{name:>{width}s}" for name, width in widths.items()))
    for initializer in initializers:
        row = ""
        for name, width in widths.items():
            mark = "*" if MATCHING[name] == initializer else " "
            row += f"{tenth(found[name, initializer][0].mean()):{width}.1f}{mark}"[1:]
        print(f"{initializer:15s}{row}".rstrip())
    print("* the matching initializer, mean ± standard error; nan: nothing varies")
    within = {}
    for activation in activations:
        both = found[activation, MATCHING[activation]]
        within[activation] = np.abs(both[0]).max() <= np.log10(BOUND)
        all_, apart = ("{:6.2f} ± {:.2f}".format(*spread(logs)) for logs in both)
        print(f"  {activation:11s} {MATCHING[activation]:15s} {all_}   of examples alone {apart}")
    kept = [name for name in activations if within[name]]
    most = 10 ** max((np.abs(found[name, MATCHING[name]][0]).max() for name in kept), default=np.nan)
    print(f"every seed within a factor of {BOUND} with the matching initializer: {', '.join(kept) or 'none'}", end="")
    print(f" (within {most:.0f}); not: {', '.join(name for name in activations if not within[name]) or 'none'}")
    alike = [name for name in kept if found[name, MATCHING[name]][1].mean() < -np.log10(BOUND)]
    print(f"of those with examples that end up alike, below 1/{BOUND} of their variance: {', '.join(alike) or 'none'}")
    pairs = [pair for pair in found if MATCHING[pair[0]] != pair[1]]
    others = sum(bool(np.abs(found[pair][0]).max() <= np.log10(BOUND)) for pair in pairs)
    print(f"with another initializer within that factor: {others} of {len(pairs)} pairs")


def main(arguments=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--depth", type=int, default=50)
    parser.add_argument("--quick", action="store_true", help="three activations and five initializers")
    parser.add_argument("--plot", metavar="FILE")
    options = parser.parse_args(arguments)

    print(f"{UNITS} units a layer, {options.steps} steps of Adam, {options.seeds} seeds; counted {PARTS} times")
    units = symmetry(options.seeds, options.steps)
    print_symmetry(units)
    activations, initializers = QUICK if options.quick else (ACTIVATIONS, list(INITIALIZERS))
    print(
        f"\nlog10 of the variance at layer {options.depth} over that at layer 1, {WIDTH} units, {options.seeds} seeds"
    )
    logs = variances(options.depth, options.seeds, activations, initializers)
    print_variance(logs, activations, initializers)
    if options.plot:
        draw(options.depth, logs, activations, initializers).savefig(options.plot)
    return {"symmetry": units, "variance": logs}


def draw(depth, logs, activations, initializers):
    from matplotlib.patches import Rectangle

    records = [
        {
            "activation": activation,
            "initializer": name,
            "log10 of the factor": tenth(np.clip(values[0].mean(), -END, END)),
        }
        for (activation, name), values in logs.items()
    ]
    title = f"log10 of the variance at layer {depth} over that at layer 1, cut at ±{END}; framed: the matching one"
    figure = fn.plotting.heat_map(records, "initializer", "activation", "log10 of the factor", title=title)
    axes = figure.axes[0]
    axes.tick_params(axis="x", rotation=30)
    axes.invert_yaxis()
    for row, activation in enumerate(activations):
        corner = initializers.index(MATCHING[activation]) - 0.5, row - 0.5
        axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor="#D55E00", linewidth=3))
    return figure


if __name__ == "__main__":
    main()
