"""Metrics over devices: four of them, which a process of its own makes of the processor."""

from __future__ import annotations

import os
import subprocess
import sys

PROGRAM = """
from functools import reduce

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from fnnet import metrics

devices = jax.devices()
assert len(devices) == 4
rows = NamedSharding(Mesh(np.array(devices), ("rows",)), PartitionSpec("rows"))
rng = np.random.default_rng(0)
z, y = rng.normal(size=(1000, 3)).astype(np.float32), rng.integers(0, 3, 1000)

for metric in (metrics.accuracy(), metrics.log_loss(), metrics.confusion_matrix(3), metrics.top_k_accuracy(2)):
    update = jax.jit(metric.update)
    alone = update(metric.init(), z, y)
    sharded = update(metric.init(), *jax.device_put((z, y), rows))
    parts = zip(devices, np.split(z, 4), np.split(y, 4))
    each = [update(*jax.device_put((metric.init(), a, b), device)) for device, a, b in parts]
    merged = reduce(metric.merge, jax.device_put(each, devices[0]))
    for acc in (sharded, merged):
        np.testing.assert_allclose(metric.compute(acc), metric.compute(alone), rtol=1e-6)
"""


def test_a_metric_over_devices_is_that_over_all_rows():
    """Both ways: one update of rows that lie on four devices, and one on each device, merged."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4"
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    run = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
