"""Layers made of layers obey the laws of layers; what a wrapper breaks on purpose is excused by name."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet as fn
from fnnet import compose
from fnnet.core import Masked
from fnnet.testing import LayerSubject, law_table, permuted

X = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4)), jnp.float32)
SEQUENCES = jnp.asarray(np.random.default_rng(1).normal(size=(3, 2, 4)), jnp.float32)
MASK = jnp.array([[True, True], [False, True], [True, False]])
NOISY = fn.serial(fn.dense(4, activation=jnp.tanh), fn.dropout(0.5))
NORMED = fn.serial(fn.dense(4), fn.batch_norm(), fn.dropout(0.25))
HALF = fn.precision(fn.dense(3), compute=jnp.bfloat16, params=jnp.float32, output=jnp.float32)

ROWS = {
    "serial": LayerSubject(fn.serial(NORMED, jax.nn.silu, fn.dense(2)), X, couples=True),
    "parallel": LayerSubject(fn.parallel(fn.dense(2), NOISY, jnp.tanh), X),
    "parallel, joined": LayerSubject(fn.parallel(fn.dense(2), fn.gru(2), combine=compose.concat), SEQUENCES),
    "residual": LayerSubject(fn.residual(NORMED), X, couples=True),
    "residual, shortcut": LayerSubject(fn.residual(fn.dense(3, activation=jnp.tanh), shortcut=fn.dense(3)), X),
    "repeat": LayerSubject(fn.repeat(NORMED, 3), X, couples=True),
    "ensemble": LayerSubject(fn.serial(fn.ensemble(NOISY, 2), lambda members: members.mean(0)), X),
    "shared": LayerSubject(fn.shared(fn.dense(4), lambda same: fn.serial(same, jnp.tanh, same)), X),
    "remat": LayerSubject(fn.remat(NORMED), X, couples=True),
    "precision": LayerSubject(HALF, X),
    "inference": LayerSubject(fn.inference(NORMED), X),
    "named": LayerSubject(fn.named(NOISY, "block"), X),
    "stop_gradient": LayerSubject(fn.stop_gradient(fn.dense(2), of="params"), X),
    "on_values": LayerSubject(compose.on_values(NOISY), Masked(SEQUENCES, MASK)),
    "a function": LayerSubject(compose.as_layer(jnp.sin), X, lipschitz=1.0, symmetries=(permuted(-1, output=-1),)),
}
STOPPED = "its gradient is stopped, which is what it is for"
EXCUSED = {
    "precision": {
        "dtype_is_that_of_the_input": "its dtypes are those that it was told",
        "jit_is_eager": "compiled, what is fused is not rounded to bfloat16 between",
        "gradients_are_slopes": "it computes in bfloat16, whose rounding is larger than the difference",
    },
    "inference": {"state_changes_in_training": "it is out of training"},
    "stop_gradient": {"gradients_are_slopes": STOPPED, "every_parameter_matters": STOPPED},
}


@pytest.mark.usefixtures("quickly_compiled")
@law_table(ROWS, excused=EXCUSED)
def test_it_obeys(law):
    law()
