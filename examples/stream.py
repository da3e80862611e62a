"""Data that stay on the disk: digits in a memory-mapped file, read a batch at a time, stopped and resumed.

python examples/stream.py [--plot stream.png]
"""

import argparse
import tempfile
from pathlib import Path

import jax
import numpy as np

import fnnet as fn

BATCH = 32


def written(folder, data):
    """Write the arrays to files, as a large data set would lie there, and return them mapped, not loaded."""
    for name, array in zip("xy", data.arrays, strict=True):
        np.save(folder / f"{name}.npy", array)
    return [np.load(folder / f"{name}.npy", mmap_mode="r") for name in "xy"]


def shuffled_batches(x, y):
    """Return a function step -> batch: the order of an epoch is that of its number alone, so any step can be read."""
    per_epoch = len(x) // BATCH

    def batch_at(step):
        epoch, place = divmod(step, per_epoch)
        rows = np.random.default_rng(epoch).permutation(len(x))[place * BATCH :][:BATCH]
        return x[rows], y[rows]

    return fn.data.stream(batch_at, per_epoch=per_epoch)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--plot", metavar="FILE")
    options = parser.parse_args()

    train, test = fn.data.split(fn.data.digits(), (0.8, 0.2), seed=0)
    net = fn.serial(fn.dense(64, activation=jax.nn.relu), fn.dense(10))
    task = fn.Task(net, fn.losses.cross_entropy, fn.adam(3e-3), metrics=(fn.metrics.accuracy(),))

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        batches = shuffled_batches(*written(folder, train))

        def fit(run, epochs, **arguments):
            saver = fn.callbacks.checkpoint(folder / run)
            key = jax.random.key(0)
            return fn.fit(
                task, batches, key=key, epochs=epochs, validation=test, callbacks=[saver], resume=True, **arguments
            )

        whole = fit("whole", options.epochs)
        fit("cut", options.epochs // 3)
        resumed = fit("cut", options.epochs)

    same = jax.tree.map(lambda a, b: bool((a == b).all()), whole.state.params, resumed.state.params)
    print(f"accuracy on {len(test.y)} unseen digits: {whole.metrics['val_accuracy'][-1]:.3f}")
    print(f"stopped after {options.epochs // 3} epochs and resumed, the same to the bit: {all(jax.tree.leaves(same))}")

    if options.plot:
        fn.plotting.learning_curves(whole.metrics).savefig(options.plot)


if __name__ == "__main__":
    main()
