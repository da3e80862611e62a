"""A training process that may be killed at any moment: it goes on from its last snapshot, and saves as often as it can.

``python kill_toys.py DIRECTORY CACHE STEPS`` prints the step after each save.
"""

from __future__ import annotations

import sys

import jax
import jax.numpy as jnp
import numpy as np

import fnnet as fn
from fnnet.checkpoints import restore

PIECE, BATCH = 4, 8  # an epoch of 32 rows, and so a chunk, has so many steps
X = np.linspace(-1.0, 1.0, 96, dtype=np.float32).reshape(32, 3)
DATA = (X, np.sin(X[:, :2] * 3))
TASK = fn.Task(
    fn.serial(fn.dense(8), fn.batch_norm(), jnp.tanh, fn.dropout(0.2), fn.dense(2)),
    fn.losses.squared_error,
    fn.adam(1e-2),
)


def start():
    return fn.init(TASK, jax.random.key(11), X)


def resumed(directory):
    """Return the last snapshot."""
    return restore(directory, jax.eval_shape(start))


def main(directory, cache, steps):
    jax.config.update("jax_compilation_cache_dir", cache)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    saver = fn.callbacks.checkpoint(directory, seconds=0, keep=2, best="loss")
    options = {"key": jax.random.key(11), "steps": steps, "batch_size": BATCH, "callbacks": [saver, tell]}
    fn.fit(TASK, DATA, resume=True, **options)


def tell(event):
    if event.kind == "epoch":
        print(event.step, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
