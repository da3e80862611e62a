"""Remember the first symbol of a sequence of unknown length: a plain recurrent net, a GRU, and attention.

Sequences are padded; a mask says which steps are real, and what stands in the padding changes nothing.

python examples/sequences.py [--plot memory.png]
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np

import fnnet as fn

SYMBOLS, LONGEST = 4, 24


def make_data(n, seed):
    """Return padded sequences of one-hot symbols with their masks, and the first symbol of each."""
    rng = np.random.default_rng(seed)
    symbols = rng.integers(0, SYMBOLS, (n, LONGEST))
    mask = np.arange(LONGEST)[None] < rng.integers(4, LONGEST + 1, n)[:, None]
    return fn.Masked(np.eye(SYMBOLS, dtype=np.float32)[symbols], mask), symbols[:, 0].astype(np.int32)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--plot", metavar="FILE")
    options = parser.parse_args()

    train, test = make_data(2000, seed=0), make_data(500, seed=1)
    units = fn.compose.on_values(fn.dense(32))
    bodies = {
        "recurrent": fn.serial(fn.rnn(32), fn.layers.last_step()),
        "GRU": fn.serial(fn.gru(32), fn.layers.last_step()),
        "attention": fn.serial(
            units, fn.compose.on_values(fn.layers.sinusoidal_positions()), fn.attention(4), fn.layers.mean_step()
        ),
    }
    losses = {}
    for name, body in bodies.items():
        optimizer = fn.transforms.chain(fn.transforms.clip_by_global_norm(1.0), fn.adam(5e-3))
        net = fn.serial(body=body, head=fn.dense(SYMBOLS))
        task = fn.Task(net, fn.losses.cross_entropy, optimizer, (fn.metrics.accuracy(),))
        result = fn.fit(task, train, key=jax.random.key(0), steps=options.steps, batch_size=64)
        losses[name] = result.history["loss"]
        accuracy = fn.evaluate(task, result.state, test)["accuracy"]
        # The padding may hold anything.
        noise = jnp.where(test[0].mask[..., None], test[0].values, 9.0)
        same = jnp.allclose(net(result.state.params, test[0]), net(result.state.params, fn.Masked(noise, test[0].mask)))
        print(f"{name:10s} test accuracy {accuracy:.3f} (chance {1 / SYMBOLS:.2f}); padding ignored: {bool(same)}")

    if options.plot:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(5, 3.5), layout="constrained")
        axes = figure.subplots()
        for (name, loss), style in zip(losses.items(), ("-", "--", ":"), strict=True):
            smooth = np.convolve(loss, np.ones(10) / 10, mode="valid")
            axes.plot(np.arange(len(smooth)) + 10, smooth, style, label=name)
        axes.set(xlabel="step", ylabel="loss, mean of 10 steps", title=f"the first of up to {LONGEST} symbols")
        axes.grid(visible=True, alpha=0.3)
        axes.legend()
        figure.savefig(options.plot)


if __name__ == "__main__":
    main()
