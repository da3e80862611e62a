"""The contestants of train_mlp.py: one network, its training loop as the users of each library write it.

Each is ``contestant(batch, steps) -> run``, and ``run()`` trains for so many steps and returns when they are made.
"""

from __future__ import annotations

import itertools
import os
from functools import partial

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import jax.numpy as jnp
import numpy as np

ROWS, WIDTHS, RATE = 20_000, (784, 256, 128, 10), 1e-3

X, Y = np.empty(0), np.empty(0)


def use(rows=ROWS, widths=WIDTHS):
    """Make the data anew, of so many rows, for a network of these widths."""
    global ROWS, WIDTHS, X, Y
    ROWS, WIDTHS, rng = rows, widths, np.random.default_rng(0)
    X = rng.random((ROWS, WIDTHS[0]), np.float32)
    Y = rng.integers(0, WIDTHS[-1], ROWS).astype(np.int32)


use()


def fnnet(batch, steps, afresh=False, listener=None):
    """``fn.fit`` from a state that is kept, or from a key, its initial values included."""
    import fnnet as fn

    net = fn.serial(*(fn.dense(n, activation=jax.nn.relu) for n in WIDTHS[1:-1]), fn.dense(WIDTHS[-1]))
    task = fn.Task(net, fn.losses.cross_entropy, fn.adam(RATE))
    data = (jnp.asarray(X), jnp.asarray(Y))
    key = jax.random.key(0)
    start = {"key": key} if afresh else {"state": fn.init(task, key, X)}
    options = {"steps": steps, "batch_size": batch, "callbacks": [listener] if listener else ()}
    return lambda: fn.fit(task, data, **start, **options).history["loss"]


def initial():
    keys = jax.random.split(jax.random.key(0), len(WIDTHS))
    sizes = zip(keys, WIDTHS[:-1], WIDTHS[1:], strict=False)
    return [(jax.random.normal(k, (m, n)) * (2 / m) ** 0.5, jnp.zeros(n)) for k, m, n in sizes]


def adam(carry, x, y, folded=False):
    """Textbook Adam, or with its two corrections folded into two scalars."""

    def loss_of(params, x):
        for w, b in params[:-1]:
            x = jax.nn.relu(x @ w + b)
        logits = x @ params[-1][0] + params[-1][1]
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1).mean()

    params, m, v, t = carry
    loss, g = jax.value_and_grad(loss_of)(params, x)
    t = t + 1
    if folded:
        rate, eps = RATE * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t), 1e-8 * jnp.sqrt(1 - 0.999**t)
        m = jax.tree.map(lambda m, g: m + 0.1 * (g - m), m, g)
        v = jax.tree.map(lambda v, g: v + 0.001 * (g * g - v), v, g)
        return (jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + eps), params, m, v), m, v, t), loss
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
    v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
    params = jax.tree.map(
        lambda p, m, v: p - RATE * (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8), params, m, v
    )
    return (params, m, v, t), loss


def step(batch, steps):
    """A jitted step by hand in a Python loop, which reuses its buffers and takes its batches from the host."""
    compiled = jax.jit(adam, donate_argnums=0)

    def run():
        params = initial()
        carry = params, *(jax.tree.map(jnp.zeros_like, params) for _ in range(2)), 0.0
        for x, y in batches(batch, steps):
            carry, loss = compiled(carry, x, y)
        return np.asarray(loss)

    return run


def scan(batch, steps, folded=False):
    """A plain scan by hand, with an order of each epoch by ``jax.random.permutation``; tuned, with 512-bit vectors.

    Batches of all the rows are the data as they are.
    """
    params, x, y, per_epoch = initial(), jnp.asarray(X), jnp.asarray(Y), ROWS // batch

    def run(params, key):
        zeros = jax.tree.map(jnp.zeros_like, params)
        if batch == ROWS:
            return jax.lax.scan(lambda c, _: adam(c, x, y, folded), (params, zeros, zeros, 0.0), length=steps)
        epochs = -(-steps // per_epoch)
        order = jnp.concatenate(
            [jax.random.permutation(k, ROWS)[: per_epoch * batch] for k in jax.random.split(key, epochs)]
        )

        def updated(carry, rows):
            return adam(carry, x[rows], y[rows], folded)

        return jax.lax.scan(updated, (params, zeros, zeros, 0.0), order.reshape(-1, batch)[:steps])

    wide = {"xla_cpu_prefer_vector_width": "512"} if folded and jax.default_backend() == "cpu" else {}
    compiled = jax.jit(run, compiler_options=wide)
    return lambda: np.asarray(compiled(params, jax.random.key(1))[1])


def batches(batch, steps):
    """Yield shuffled batches from the host, epoch after epoch."""
    order, at = np.random.permutation(ROWS), 0
    for _ in range(steps):
        if at + batch > ROWS:
            order, at = np.random.permutation(ROWS), 0
        rows = order[at : at + batch]
        at += batch
        yield X[rows], Y[rows]


def nnx(batch, steps, plain=False):
    """Flax NNX: split and merged around ``jax.jit``, or plainly under ``nnx.jit``."""
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

    def update(net, optimizer, x, y):
        def loss_of(net):
            return optax.softmax_cross_entropy_with_integer_labels(net(x), y).mean()

        loss, grads = nnx.value_and_grad(loss_of)(net)
        optimizer.update(net, grads)
        return loss

    @jax.jit
    def step(state, x, y):
        net, optimizer = nnx.merge(graph, state)
        loss = update(net, optimizer, x, y)
        return nnx.split((net, optimizer))[1], loss

    plain_step = nnx.jit(update)

    def run_plainly():
        for x, y in batches(batch, steps):
            loss = plain_step(net, optimizer, x, y)
        return np.asarray(loss)

    def run():
        s = state
        for x, y in batches(batch, steps):
            s, loss = step(s, x, y)
        return np.asarray(loss)

    return run_plainly if plain else run


def haiku(batch, steps):
    import haiku as hk
    import optax

    def forward(x):
        for n in WIDTHS[1:-1]:
            x = jax.nn.relu(hk.Linear(n)(x))
        return hk.Linear(WIDTHS[-1])(x)

    net, optimizer = hk.without_apply_rng(hk.transform(forward)), optax.adam(RATE)
    params = net.init(jax.random.key(0), X[:1])
    opt_state = optimizer.init(params)

    @jax.jit
    def step(params, opt_state, x, y):
        def loss_of(params):
            return optax.softmax_cross_entropy_with_integer_labels(net.apply(params, x), y).mean()

        loss, grads = jax.value_and_grad(loss_of)(params)
        updates, opt_state = optimizer.update(grads, opt_state)
        return optax.apply_updates(params, updates), opt_state, loss

    def run():
        p, s = params, opt_state
        for x, y in batches(batch, steps):
            p, s, loss = step(p, s, x, y)
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


def torch(batch, steps, fused=True, compiled=False):
    """PyTorch: eager, with its fused Adam, or compiled too."""
    import torch as t

    sizes = list(itertools.pairwise(WIDTHS))
    layers = [layer for m, n in sizes for layer in (t.nn.Linear(m, n), t.nn.ReLU())][:-1]
    net = t.nn.Sequential(*layers)
    optimizer = t.optim.Adam(net.parameters(), RATE, fused=fused)
    loss_of = t.nn.CrossEntropyLoss()
    x, y = t.from_numpy(X), t.from_numpy(Y.astype(np.int64))
    forward = t.compile(lambda x, y: loss_of(net(x), y)) if compiled else lambda x, y: loss_of(net(x), y)

    def run():
        order, at = t.randperm(ROWS), 0
        for _ in range(steps):
            if at + batch > ROWS:
                order, at = t.randperm(ROWS), 0
            rows = order[at : at + batch]
            at += batch
            optimizer.zero_grad()
            loss = forward(x[rows], y[rows])
            loss.backward()
            optimizer.step()
        return loss.item()

    return run


def sklearn(batch, steps):
    """scikit-learn: one epoch over as many rows as the steps take."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    rows = np.arange(steps * batch) % ROWS  # one pass over as many rows is as many steps

    def run():
        net = MLPClassifier(WIDTHS[1:-1], batch_size=batch, learning_rate_init=RATE, max_iter=1, alpha=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            net.fit(X[rows], Y[rows])

    return run


CONTESTANTS = {
    "scan": scan,
    "step by hand": step,
    "scan, tuned": partial(scan, folded=True),
    "fnnet": fnnet,
    "fnnet, from a key": partial(fnnet, afresh=True),
    "fnnet, told each epoch": partial(fnnet, listener=lambda event: None),
    "nnx, split and merged": nnx,
    "nnx, plain": partial(nnx, plain=True),
    "equinox": equinox,
    "haiku": haiku,
    "keras": keras,
    "torch": partial(torch, fused=False),
    "torch, fused": torch,
    "torch, compiled": partial(torch, compiled=True),
    "scikit-learn": sklearn,
}
