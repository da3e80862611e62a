"""XOR: a proof that one unit cannot compute it, and how often gradient descent teaches it to two layers.

python examples/03_xor.py [--plot xor.png]
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np

import fnnet as fn
from fnnet import neurons

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
Y = np.array([0, 1, 1, 0])
DATA = X, Y[:, None].astype(np.float32)


def make_task(hidden):
    layers = [fn.dense(hidden, activation=jnp.tanh)] if hidden else []
    return fn.Task(fn.serial(*layers, fn.dense(1)), fn.losses.binary_cross_entropy, fn.adam(0.05))


def train(hidden, seeds, steps):
    """Return the final losses, the logits on the four rows and the parameters of `seeds` networks, trained as one."""
    task = make_task(hidden)

    def one(key):
        state = fn.init(task, key, X)
        state, history = fn.run(task, state, DATA, steps=steps, batch_size=4)
        return history["loss"][-1], task.net(state.params, jnp.asarray(X))[:, 0], state.params

    return jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), seeds))


def told(right, losses):
    """Return what became of the seeds that did not learn it."""
    failed = ~right.all(1)
    if not failed.any():
        return ""
    counts = zip(*np.unique(right[failed].sum(1), return_counts=True), strict=True)
    rows = ", ".join(f"{count} with {n} of 4 rows" for n, count in counts)
    ended = np.asarray(losses)[failed]
    return f"; the rest: {rows}, at losses of {ended.min():.2f} to {ended.max():.2f}"


def main(arguments=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--hidden", type=int, nargs="+", default=[0, 2, 3, 4, 8], help="units of the hidden layer")
    parser.add_argument("--plot", metavar="FILE")
    options = parser.parse_args(arguments)

    certificate = neurons.separable(X, Y)
    one, other = certificate.multipliers[Y == 1], certificate.multipliers[Y == 0]
    print(f"one unit can: {certificate.separable}. The classes' hulls meet:")
    print(f"  {one} of {X[Y == 1].tolist()} and {other} of {X[Y == 0].tolist()} are both {(one @ X[Y == 1]).tolist()}")
    print(f"two layers set by hand: {neurons.boolean_network(Y)({}, jnp.asarray(X))[:, 0].astype(int).tolist()}")

    solved, kept = {}, {}
    for hidden in options.hidden:
        losses, logits, params = train(hidden, options.seeds, options.steps)
        right = (np.asarray(logits) > 0) == Y
        solved[hidden] = int(right.all(1).sum())
        best = int(np.argmin(losses))
        kept[hidden] = jax.tree.map(lambda leaf, best=best: leaf[best], params)
        print(f"{hidden} hidden units: {solved[hidden]} of {options.seeds} seeds learn it{told(right, losses)}")

    if options.plot:
        draw(kept).savefig(options.plot)
    return {"certificate": certificate, "solved": solved}


def draw(kept):
    """What nets of so many hidden units make of the plane, the best seed of each."""
    from matplotlib.figure import Figure

    axis = np.linspace(-0.5, 1.5, 81, dtype=np.float32)
    grid = jnp.asarray(np.stack(np.meshgrid(axis, axis), -1))
    figure = Figure(figsize=(1.2 + 2.6 * len(kept), 3), layout="constrained")
    for axes, hidden in zip(figure.subplots(1, len(kept)), kept, strict=True):
        share = jax.nn.sigmoid(make_task(hidden).net(kept[hidden], grid))[..., 0]
        image = axes.contourf(axis, axis, share, levels=np.linspace(0, 1, 11), cmap="PuOr", alpha=0.8)
        for label, marker, face in ((0, "o", "white"), (1, "^", "black")):
            axes.plot(*X[label == Y].T, marker, color="black", mfc=face, ms=8)
        axes.set(title=f"{hidden} hidden units", xlabel="x₁", ylabel="x₂", aspect="equal")
    figure.colorbar(image, ax=axes, label="P(y = 1)")
    return figure


if __name__ == "__main__":
    main()
