"""Three units ask x₁ + x₂ > 6, > 4, > -2.5: they cut the plane in bands, and in (a₁, a₂, a₃) any decision is easy.

python examples/04_three_neurons.py [--plot bands.png]
"""

import argparse
import itertools

import jax
import jax.numpy as jnp
import numpy as np

import fnnet as fn
from fnnet import neurons

THETA = (6.0, 4.0, -2.5)


def fires(z):
    """The lecture's units ask whether the sum is greater, not whether it is at least θ."""
    return (z > 0).astype(z.dtype)


def three_units():
    """Return the layer of the three units, and its parameters: weights of 1, and -θ as biases."""
    return fn.dense(3, activation=fires), {"kernel": jnp.ones((2, 3)), "bias": -jnp.array(THETA)}


def main(arguments=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--points", type=int, default=400)
    parser.add_argument("--plot", metavar="FILE")
    options = parser.parse_args(arguments)

    x = jax.random.uniform(jax.random.key(0), (options.points, 2), minval=-6.0, maxval=8.0)
    layer, params = three_units()
    a = np.asarray(layer(params, x))
    corners, band, counts = np.unique(a, axis=0, return_inverse=True, return_counts=True)
    order = corners.sum(1)  # from below -2.5 to above 6
    print(f"{options.points} points of the plane go to {len(corners)} of the 8 corners of the cube (a₁, a₂, a₃):")
    for corner, count in zip(corners, counts, strict=True):
        print(f"  {tuple(int(v) for v in corner)}: {count} points")

    separable = {"x": 0, "a": 0}
    labelings = [bits for bits in itertools.product((0, 1), repeat=4) if len(set(bits)) == 2]
    for bits in labelings:
        y = np.array(bits)[order[band].astype(int)]
        separable["x"] += neurons.separable(x, y).separable
        separable["a"] += neurons.separable(a, y).separable
    print(f"of the {len(labelings)} ways to label four bands with two classes, one unit can decide, by certificates,")
    print(f"  {separable['x']} in the plane, and {separable['a']} in (a₁, a₂, a₃)")
    y = (order[band] % 2).astype(int)
    learnt = neurons.perceptron(a, y)
    print(f"bands in turn: {learnt} in (a₁, a₂, a₃), weights {learnt.kernel[:, 0].tolist()}, θ = {learnt.theta[0]}")
    print(f"               {neurons.perceptron(x, y, passes=200)} in the plane")

    if options.plot:
        draw(np.asarray(x), a, y).savefig(options.plot)
    return {"corners": corners.tolist(), "separable": separable, "labelings": len(labelings), "learnt": learnt}


def draw(x, a, y):
    """The plane in bands, and the corners where its points go."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    plane, cube = figure.add_subplot(1, 2, 1), figure.add_subplot(1, 2, 2, projection="3d")
    ends = np.array([-6.0, 8.0])
    for theta, style in zip(THETA, ("-", "--", ":"), strict=True):
        plane.plot(ends, theta - ends, style, color="#0072B2", label=f"x₁ + x₂ = {theta:g}")
    for label, marker, face in ((0, "o", "white"), (1, "^", "black")):
        plane.plot(*x[y == label].T, marker, color="black", mfc=face, ms=3, mew=0.6)
        corners, counts = np.unique(a[y == label], axis=0, return_counts=True)
        cube.scatter(*corners.T, marker=marker, s=90, color=face, edgecolors="black", depthshade=False)
        for corner, count in zip(corners, counts, strict=True):
            cube.text(*(corner + 0.06), f"{count} points", fontsize=8)
    plane.set(xlim=(-6, 8), ylim=(-6, 8), xlabel="x₁", ylabel="x₂", aspect="equal", title="three units cut the plane")
    plane.legend(loc="upper right", fontsize=8, framealpha=1)
    ticks = {"xticks": [0, 1], "yticks": [0, 1], "zticks": [0, 1]}
    cube.set(xlabel="a₁", ylabel="a₂", zlabel="a₃", title="what the three units answer", **ticks)
    return figure


if __name__ == "__main__":
    main()
