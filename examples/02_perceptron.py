"""A unit that learns by its mistakes: how many it makes, what bounds them, and what it does where no line separates.

python examples/02_perceptron.py [--plot perceptron.png]
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np

import fnnet as fn
from fnnet import neurons


def irises(first, second):
    """Return petal length and width of two kinds of iris, and which is which."""
    iris = fn.data.iris()
    chosen = np.isin(iris.y, (first, second))
    return iris.x[chosen][:, 2:], (iris.y[chosen] == second).astype(int)


def mistakes_by_order(x, y, orders):
    """Return the mistakes of as many runs as `orders`, each with its own random orders: one batched program."""
    keys = jax.random.split(jax.random.key(0), orders)
    return np.asarray(jax.vmap(lambda key: neurons.perceptron(x, y, key=key).mistakes)(keys))


def share(learnt, x, y):
    """Return the share of right decisions."""
    layer, params = neurons.as_layer(learnt)
    return float(np.mean(np.asarray(layer(params, jnp.asarray(x, jnp.float32)))[:, 0] == y))


def main(arguments=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--orders", type=int, default=1000)
    parser.add_argument("--plot", metavar="FILE")
    options = parser.parse_args(arguments)

    x, y = irises(0, 1)
    bound, mistakes = neurons.margin(x, y).bound, mistakes_by_order(x, y, options.orders)
    print(f"setosa and versicolor, {len(y)} flowers: {neurons.perceptron(x, y)}")
    counts = f"{mistakes.min()} to {mistakes.max()} mistakes, mean {mistakes.mean():.2f}"
    print(f"in {options.orders} random orders: {counts}")
    print(f"the theorem's bound (R/γ)²: {bound:.1f}")

    digits = fn.data.digits()
    pairs = {}
    for a, b in ((0, 1), (3, 8), (1, 8)):
        chosen = np.isin(digits.y, (a, b))
        pair_x, pair_y = digits.x[chosen].reshape(chosen.sum(), -1), (digits.y[chosen] == b).astype(int)
        learnt = neurons.perceptron(pair_x, pair_y)
        pairs[a, b] = int(learnt.mistakes), neurons.margin(pair_x, pair_y).bound
        print(f"digits {a} and {b}: {learnt}, bound {pairs[a, b][1]:.0f}")

    hard_x, hard_y = irises(1, 2)
    hard_x = hard_x - hard_x.mean(0)
    print(f"\nversicolor and virginica: separable is {neurons.separable(hard_x, hard_y).separable}, by a certificate")
    rules = {"last weights": neurons.perceptron, "mean weights": neurons.averaged_perceptron}
    rules |= {"pocket": neurons.pocket_perceptron, "adaline": neurons.adaline}
    shares = {}
    for name, rule in rules.items():
        keys = jax.random.split(jax.random.key(1), 20)
        runs = [share(rule(hard_x, hard_y, passes=50, key=key), hard_x, hard_y) for key in keys]
        shares[name] = np.array(runs)
        print(f"{name:12s} {np.mean(runs):.3f} right after 50 passes (least {min(runs):.3f} of 20 orders)")

    if options.plot:
        draw((x, y), (hard_x, hard_y), mistakes, bound).savefig(options.plot)
    return {"mistakes": mistakes, "bound": bound, "pairs": pairs, "shares": shares}


def draw(easy, hard, mistakes, bound):
    """The lines of some orders, the mistakes of all, and the rules where no line separates."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.5), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    learnt = [neurons.perceptron(*easy, key=jax.random.key(n)) for n in range(5)]
    lines = [(one, "-", "0.5", "" if n else "perceptron") for n, one in enumerate(learnt)]
    fitted = [(neurons.pocket_perceptron(*hard, key=jax.random.key(0)), "-", "#0072B2", "pocket")]
    fitted += [(neurons.adaline(*hard), "--", "#D55E00", "adaline")]
    titles = ("setosa (○) and versicolor (▲)", "versicolor (○), virginica (▲), centred")
    for axes, (x, y), drawn, title in ((left, easy, lines, titles[0]), (right, hard, fitted, titles[1])):
        for label, marker, face in ((0, "o", "white"), (1, "^", "black")):
            axes.plot(*x[y == label].T, marker, color="black", mfc=face, ms=4)
        span = np.array([x[:, 0].min() - 0.3, x[:, 0].max() + 0.3])
        for learnt, style, colour, name in drawn:
            (w1, w2), b = np.asarray(learnt.kernel)[:, 0], float(learnt.bias[0])
            axes.plot(span, -(w1 * span + b) / w2, style, color=colour, label=name or None)
        limits = (x[:, 1].min() - 0.3, x[:, 1].max() + 0.3)
        axes.set(xlabel="petal length (cm)", ylabel="petal width (cm)", ylim=limits)
        axes.set_title(title, fontsize=11)
        axes.legend(fontsize=8)
    middle.hist(mistakes, bins=np.arange(mistakes.min(), mistakes.max() + 2) - 0.5, color="#0072B2")
    middle.axvline(bound, color="black", linestyle="--", label="(R/γ)²")
    middle.set(title="mistakes until none is made", xlabel="mistakes", ylabel="random orders", xscale="log")
    middle.legend()
    return figure


if __name__ == "__main__":
    main()
