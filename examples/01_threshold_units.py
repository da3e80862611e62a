"""What a unit without weights can decide: gates, any boolean function in two layers, and votes on real measurements.

python examples/01_threshold_units.py [--plot units.png]
"""

import argparse

import jax.numpy as jnp
import numpy as np

import fnnet as fn
from fnnet import neurons

GATES = {
    "and": neurons.and_gate(),
    "or": neurons.or_gate(),
    "nor": neurons.nor_gate(),
    "nand (two units)": neurons.nand_gate(),
    "xor (two layers)": neurons.boolean_network([0, 1, 1, 0]),
}


def count_bits():
    """Return a network of two layers a digit that counts the ones among five inputs, in binary."""
    counts = np.asarray(neurons.boolean_inputs(5)).sum(1)
    return fn.parallel(*(neurons.boolean_network((counts >> digit) & 1) for digit in (2, 1, 0)))


def votes(dataset):
    """Return the share of tumours that "at least k of the 30 measurements are above their median" tells rightly."""
    bits = jnp.asarray(dataset.x > np.median(dataset.x, axis=0), jnp.int32)
    malignant = dataset.y == dataset.classes.index("malignant")
    shares = []
    for k in range(bits.shape[1] + 1):
        unit = neurons.k_of_n(k, bits.shape[1])
        shares.append(float(np.mean(np.asarray(unit({}, bits))[:, 0] == malignant)))
    return np.array(shares)


def main(arguments=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--plot", metavar="FILE")
    options = parser.parse_args(arguments)

    rows = neurons.boolean_inputs(2)
    print("inputs          ", *("".join(map(str, row)) for row in np.asarray(rows)))
    for name, gate in GATES.items():
        print(f"{name:16s}", *(f"{int(bit):2d}" for bit in gate({}, rows)[:, 0]))
    rows = neurons.boolean_inputs(5)
    digits = count_bits()({}, rows)
    counted = np.asarray(4 * digits[0] + 2 * digits[1] + digits[2])[:, 0]
    right = int((counted == np.asarray(rows).sum(1)).sum())
    print(f"\nThe ones among five inputs, counted by units: right on {right} of {len(counted)} rows")

    dataset = fn.data.breast_cancer()
    shares = votes(dataset)
    best = int(shares.argmax())
    print(f"\n{len(dataset.y)} tumours, 30 measurements, each a bit: above its median or not")
    for k in sorted({1, 8, best, 23, 30}):
        print(f"malignant iff at least {k:2d} of 30: {shares[k]:.3f} are told rightly")
    print(f"θ was chosen by hand, on all the data: the best is {best}, and no input counts for more than another.")

    if options.plot:
        draw(shares, best).savefig(options.plot)
    return {"counted": right, "shares": shares, "best": best}


def draw(shares, best):
    """θ moves the line and never turns it; weights turn it; the votes by k."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    x = np.linspace(-0.5, 1.5, 2)
    for theta, style in ((0.5, "-"), (1.5, "--"), (2.5, ":")):
        left.plot(x, theta - x, style, color="#0072B2", label=f"θ = {theta}")
    for (w1, w2), style in (((1, 1), "-"), ((2, 0.7), "--"), ((0.5, 2), ":")):
        middle.plot(x, (1.2 - w1 * x) / w2, style, color="#D55E00", label=f"w = ({w1}, {w2})")
    for axes, title in ((left, "McCulloch–Pitts: x₁ + x₂ = θ"), (middle, "Rosenblatt: w₁x₁ + w₂x₂ = 1.2")):
        axes.plot([0, 0, 1, 1], [0, 1, 0, 1], "ko", mfc="white")
        axes.set(title=title, xlabel="x₁", ylabel="x₂", xlim=(-0.5, 1.5), ylim=(-0.5, 1.5), aspect="equal")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), fontsize=8)
    right.plot(shares, "o-", color="#0072B2", ms=3)
    right.plot(best, shares[best], "o", mfc="none", mec="black", ms=9)
    right.set(title="k of 30 votes", xlabel="θ = k", ylabel="share of tumours told rightly")
    return figure


if __name__ == "__main__":
    main()
