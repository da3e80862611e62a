"""Convolutions over devices: four of them, which a process of its own makes of the processor."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P

import fnnet as fn

mesh = Mesh(np.array(jax.devices()), ("rows",))
assert mesh.size == 4
net = fn.serial(fn.conv(8), fn.max_pool(2), fn.conv(8, stride=2), fn.avg_pool(2), fn.conv_transpose(3, 2, stride=2))
x = jax.random.normal(jax.random.key(0), (8, 8, 8, 8))
params, _ = net.init(jax.random.key(1), x)


def gradient(params, x):
    return jax.grad(lambda p: jnp.sin(net(p, x)).sum())(params)


whole = jax.jit(gradient)(params, x)
sharded = jax.jit(gradient)(params, jax.device_put(x, NamedSharding(mesh, P("rows"))))
# Within shard_map the gradient of what is alike on all devices is the sum over them.
mapped = jax.jit(jax.shard_map(gradient, mesh=mesh, in_specs=(P(), P("rows")), out_specs=P()))(params, x)
for parts in (sharded, mapped):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), parts, whole)
"""


@pytest.mark.lowest
def test_the_gradient_over_devices_is_that_over_all_rows():
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4"
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    run = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
