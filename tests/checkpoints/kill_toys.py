"""A training process that may be killed at any moment: it goes on from its last snapshot, and saves as often as it can.

``python kill_toys.py DIRECTORY CACHE STEPS`` prints the step after each save.
"""

from __future__ import annotations

import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import fnnet as fn
from fnnet.checkpoints import Snapshot, restore, writer

PIECE = 3
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
    """Return the last snapshot, or that of the start."""
    return restore(directory, jax.eval_shape(start)) or Snapshot(start(), {"loss": np.zeros(0, np.float32)})


def main(directory, cache, steps):
    jax.config.update("jax_compilation_cache_dir", cache)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    run = jax.jit(partial(fn.run, TASK, data=DATA, steps=PIECE, batch_size=8), donate_argnums=0)
    state, history, *_ = resumed(directory)
    with writer(directory, after=int(state.step) or None, keep=2, best="loss") as write:
        while int(state.step) < steps:
            state, logs = run(state)
            history = {"loss": np.concatenate([history["loss"], logs["loss"]])}
            write.save(Snapshot(state, history, config={"piece": PIECE}), {"loss": float(history["loss"][-1])})
            print(int(state.step), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
