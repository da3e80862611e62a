"""Vanishing and exploding gradients and dead units in nets of 20 and 50 hidden layers, and each cure by itself.

python examples/14_deep_gradients.py [--depths 20 50] [--seeds 3] [--steps 200] [--quick] [--plot gradients.png]

The nets, of digits, are in deep_gradients/nets.py. Printed are of each: the norm of the gradient by the first hidden
layer's output over that by the last one's, and the norm of the whole gradient, at the start, as geometric means over
seeds; the accuracy after training at the best of some rates, chosen on other digits than those it is measured on; and
the share of hidden units that are dead, their slope being 0 on each of 256 digits, at the start and after training.
With batch norm this is at inference, which begins with running statistics that are not yet the data's. A run that
diverged has nan; a ratio of 0 is less than float32 holds, 1e-38.
"""

import argparse

import numpy as np
from deep_gradients.measure import BATCH, geometric, results, spread
from deep_gradients.nets import ALONE, CLIPPED, HE, LARGE, NETS, PLAIN, TOGETHER, WIDTH

import fnnet as fn

CHANCE, LEARNT, REACHES = 0.1, 0.2, 0.01  # accuracies, and a share of the last layer's gradient
STYLE = ("color", "marker", "markevery")


def table(depth, found):
    print(f"\n{depth} hidden layers{'':14s} first/last  gradient  accuracy         rate   dead: start  after")
    for name, own in found.items():
        flow = f"{geometric(own['ratio']):10.1e} {geometric(own['whole']):9.1e}"
        accuracy = "{:.3f} ± {:.3f}".format(*spread(own["accuracy"]))
        dead = f"{own['dead'].mean():11.2f} {own['dead after'].mean():6.2f}"
        print(f"{name:30s} {flow}  {accuracy}   {own['rate']:.3f} {dead}")


def verdicts(found):
    """Print what the numbers say of the cures."""
    alone = [name for name in ALONE if name in found]
    reach = [name for name in alone if geometric(found[name]["ratio"]) >= REACHES]
    print(f"by itself brings {REACHES} of the last layer's gradient to the first: {'; '.join(reach) or 'none'}")
    learn = [name for name in alone if np.dot((1, -2), spread(found[name]["accuracy"])) > LEARNT]
    print(f"by itself learns, above {LEARNT} by two standard errors: {'; '.join(learn) or 'none'}")
    best = max(alone, key=lambda name: found[name]["accuracy"].mean())
    if TOGETHER in found:
        print(f"{TOGETHER} less the best by itself, {best}: {gain(found, best, TOGETHER)}")
    norm, he = found[PLAIN]["whole"], found[HE]
    within = (norm <= NETS["clipping"].max_norm).sum()
    print(
        f"clipping: the plain net's gradient is within the bound, so left as it is, at {within} of {len(norm)} starts;"
    )
    print(f"  it adds {gain(found, PLAIN, 'clipping')} to that net's accuracy, ", end="")
    print(f"{gain(found, LARGE, CLIPPED)} to that of the net whose gradient explodes")
    print(f"dead of {HE}: {he['dead'].mean():.2f} at the start, {he['dead after'].mean():.2f} after training, ", end="")
    print(f"{he['dead at the greatest rate'].mean():.2f} at the greatest rate")


def gain(found, name, other):
    return "{:.3f} ± {:.3f}".format(*spread(found[other]["accuracy"] - found[name]["accuracy"]))


def main(arguments=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--depths", type=int, nargs="+", default=[20, 50])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rates", type=int, default=4, help="how many, from 0.001 to 0.3")
    parser.add_argument("--quick", action="store_true", help="without batch norm")
    parser.add_argument("--plot", metavar="FILE")
    options = parser.parse_args(arguments)

    nets = {name: net for name, net in NETS.items() if not (options.quick and net.batch_norm)}
    rates = np.geomspace(0.001, 0.3, options.rates).astype(np.float32)
    train, test = (part.arrays for part in fn.data.split(fn.data.digits(), (0.5, 0.5), seed=0))
    print(f"{options.seeds} seeds; {WIDTH} units a layer; {options.steps} steps of {BATCH} digits, SGD, momentum 0.9")
    print(
        f"accuracy on {len(test[1]) - len(test[1]) // 2} digits, mean ± standard error over seeds; chance is {CHANCE}"
    )
    measured = {}
    for depth in options.depths:
        measured[depth] = results(nets, depth, rates, options.seeds, options.steps, train, test)
        table(depth, measured[depth])
        verdicts(measured[depth])
    if options.plot:
        draw(depth, measured[depth]).savefig(options.plot)
    return measured


def draw(depth, found):
    shown = [name for name in (PLAIN, *ALONE, HE, TOGETHER, LARGE) if name in found and name != "clipping"]
    lines = {
        f"{name}: {found[name]['accuracy'].mean():.2f}": dict(enumerate(geometric(found[name]["flow"]), 1))
        for name in shown
    }
    figure = fn.plotting.gradient_flow(
        lines, title=f"gradient by the output of each of {depth} hidden layers, at first"
    )
    figure.set_size_inches(10, 5)
    axes = figure.axes[0]
    inset = axes.inset_axes((0.7, 0.06, 0.29, 0.33), yscale="log", ylim=(1e-3, 1e2))
    inset.set_title("the same, nearer", fontsize=8)
    for n, line in enumerate(axes.get_lines()):
        line.set(markevery=(n % 5, 5), color=line.get_color() if n < 6 else ("0", "0.4", "0.6")[n - 6])
        inset.plot(*line.get_data(), **{name: getattr(line, f"get_{name}")() for name in STYLE}, markersize=4)
    axes.legend(title="accuracy after training", loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


if __name__ == "__main__":
    main()
