"""Samples/s of training an MLP 784-256-128-10 with Adam, as ratios to a hand-written JAX scan, in one interleaved run.

    python benchmarks/train_mlp.py [--rounds 7] [--batches 32,128,1024] [--only fnnet,scan]

Every contestant trains the same network on the same 20 000 rows, float32, compiled before the
first round, with all of its own data handling included.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import statistics
import time
from importlib.metadata import version

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import jax.numpy as jnp
import numpy as np

ROWS, WIDTHS, RATE = 20_000, (784, 256, 128, 10), 1e-3
STEPS = {32: 600, 128: 240, 1024: 60}

rng = np.random.default_rng(0)
X = rng.normal(size=(ROWS, WIDTHS[0])).astype(np.float32)
Y = rng.integers(0, WIDTHS[-1], ROWS).astype(np.int32)


def fnnet(batch, steps):
    import fnnet as fn

    net = fn.serial(*(fn.dense(n, activation=jax.nn.relu) for n in WIDTHS[1:-1]), fn.dense(WIDTHS[-1]))
    task = fn.Task(net, fn.losses.cross_entropy, fn.adam(RATE))
    data = (jnp.asarray(X), jnp.asarray(Y))
    state = fn.init(task, jax.random.key(0), X)
    return lambda: fn.fit(task, data, state=state, steps=steps, batch_size=batch).history["loss"]


def scan(batch, steps):
    """A plain hand-written scan: textbook Adam, an order of each epoch by ``jax.random.permutation``."""
    keys = jax.random.split(jax.random.key(0), len(WIDTHS))
    params = [
        (jax.random.normal(k, (m, n)) * (2 / m) ** 0.5, jnp.zeros(n))
        for k, m, n in zip(keys, WIDTHS[:-1], WIDTHS[1:], strict=False)
    ]
    x, y = jnp.asarray(X), jnp.asarray(Y)
    per_epoch = ROWS // batch

    def loss_of(params, x, y):
        for w, b in params[:-1]:
            x = jax.nn.relu(x @ w + b)
        logits = x @ params[-1][0] + params[-1][1]
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1).mean()

    def adam(carry, rows):
        params, m, v, t = carry
        loss, g = jax.value_and_grad(loss_of)(params, x[rows], y[rows])
        t = t + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        params = jax.tree.map(
            lambda p, m, v: p - RATE * (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8), params, m, v
        )
        return (params, m, v, t), loss

    @jax.jit
    def run(params, key):
        zeros = jax.tree.map(jnp.zeros_like, params)
        epochs = -(-steps // per_epoch)
        order = jnp.concatenate(
            [jax.random.permutation(k, ROWS)[: per_epoch * batch] for k in jax.random.split(key, epochs)]
        )
        return jax.lax.scan(adam, (params, zeros, zeros, 0.0), order.reshape(-1, batch)[:steps])

    return lambda: np.asarray(run(params, jax.random.key(1))[1])


def batches(batch, steps):
    """Yield shuffled batches from the host, epoch after epoch."""
    order, at = np.random.permutation(ROWS), 0
    for _ in range(steps):
        if at + batch > ROWS:
            order, at = np.random.permutation(ROWS), 0
        rows = order[at : at + batch]
        at += batch
        yield X[rows], Y[rows]


def nnx(batch, steps):
    import optax
    from flax import nnx

    class Net(nnx.Module):
        def __init__(self, rngs):
            sizes = itertools.pairwise(WIDTHS)
            self.layers = nnx.List([nnx.Linear(m, n, rngs=rngs) for m, n in sizes])

        def __call__(self, x):
            for layer in self.layers[:-1]:
                x = nnx.relu(layer(x))
            return self.layers[-1](x)

    net = Net(nnx.Rngs(0))
    optimizer = nnx.Optimizer(net, optax.adam(RATE), wrt=nnx.Param)
    graph, state = nnx.split((net, optimizer))

    @jax.jit
    def step(state, x, y):
        net, optimizer = nnx.merge(graph, state)

        def loss_of(net):
            return optax.softmax_cross_entropy_with_integer_labels(net(x), y).mean()

        loss, grads = nnx.value_and_grad(loss_of)(net)
        optimizer.update(net, grads)
        return nnx.split((net, optimizer))[1], loss

    def run():
        s = state
        for x, y in batches(batch, steps):
            s, loss = step(s, x, y)
        return np.asarray(loss)

    return run


def equinox(batch, steps):
    import equinox as eqx
    import optax

    class Net(eqx.Module):
        layers: list

        def __init__(self, key):
            sizes = zip(WIDTHS[:-1], WIDTHS[1:], jax.random.split(key, len(WIDTHS) - 1), strict=False)
            self.layers = [eqx.nn.Linear(m, n, key=k) for m, n, k in sizes]

        def __call__(self, x):
            for layer in self.layers[:-1]:
                x = jax.nn.relu(layer(x))
            return self.layers[-1](x)

    net = Net(jax.random.key(0))
    optimizer = optax.adam(RATE)
    opt_state = optimizer.init(eqx.filter(net, eqx.is_array))

    @eqx.filter_jit
    def step(net, opt_state, x, y):
        def loss_of(net):
            return optax.softmax_cross_entropy_with_integer_labels(jax.vmap(net)(x), y).mean()

        loss, grads = eqx.filter_value_and_grad(loss_of)(net)
        updates, opt_state = optimizer.update(grads, opt_state)
        return eqx.apply_updates(net, updates), opt_state, loss

    def run():
        n, s = net, opt_state
        for x, y in batches(batch, steps):
            n, s, loss = step(n, s, x, y)
        return np.asarray(loss)

    return run


def keras(batch, steps):
    import keras as k

    layers = [k.layers.Dense(n, activation="relu") for n in WIDTHS[1:-1]] + [k.layers.Dense(WIDTHS[-1])]
    model = k.Sequential([k.Input((WIDTHS[0],)), *layers])
    model.compile(k.optimizers.Adam(RATE), k.losses.SparseCategoricalCrossentropy(from_logits=True))
    # A data set of `steps` batches, since fit counts epochs of the arrays that it is given.
    rows = np.arange(steps * batch) % ROWS
    x, y = X[rows], Y[rows]
    return lambda: model.fit(x, y, batch_size=batch, epochs=1, verbose=0).history["loss"]


def torch(batch, steps):
    import torch as t

    sizes = list(itertools.pairwise(WIDTHS))
    layers = [layer for m, n in sizes for layer in (t.nn.Linear(m, n), t.nn.ReLU())][:-1]
    net = t.nn.Sequential(*layers)
    optimizer = t.optim.Adam(net.parameters(), RATE, fused=True)
    loss_of = t.nn.CrossEntropyLoss()
    x, y = t.from_numpy(X), t.from_numpy(Y.astype(np.int64))

    def run():
        order, at = t.randperm(ROWS), 0
        for _ in range(steps):
            if at + batch > ROWS:
                order, at = t.randperm(ROWS), 0
            rows = order[at : at + batch]
            at += batch
            optimizer.zero_grad()
            loss = loss_of(net(x[rows]), y[rows])
            loss.backward()
            optimizer.step()
        return loss.item()

    return run


CONTESTANTS = {"scan": scan, "fnnet": fnnet, "nnx": nnx, "equinox": equinox, "keras": keras, "torch": torch}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batches", default="32,128,1024")
    parser.add_argument("--only", default=",".join(CONTESTANTS))
    options = parser.parse_args()
    names = ["scan", *(name for name in options.only.split(",") if name != "scan")]
    shown = ("jax", "flax", "equinox", "optax", "keras", "torch")
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {jax.devices()[0].device_kind}"
    print(f"{machine}, Python {platform.python_version()}")
    print(", ".join(f"{name} {version(name)}" for name in shown if len(names) > 2 or name == "jax"))
    print(f"samples/s as a ratio to the hand-written scan: median (least to most) of {options.rounds} rounds")
    for batch in map(int, options.batches.split(",")):
        steps = STEPS.get(batch, 200)
        runs = {name: CONTESTANTS[name](batch, steps) for name in names}
        for run in runs.values():  # compile
            run()
        seconds = {name: [] for name in names}
        for _ in range(options.rounds):
            for name, run in runs.items():
                start = time.perf_counter()
                run()
                seconds[name].append(time.perf_counter() - start)
        for name in names[1:]:
            ratios = [mine / other for mine, other in zip(seconds["scan"], seconds[name], strict=True)]
            line = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            print(f"batch {batch:5d}  {name:8s} {line}", flush=True)


if __name__ == "__main__":
    main()
