"""The contestants of train_cnn.py: networks for images, their training loops as the users of each library write them.

``cnn``: conv32-pool-conv64-pool-dense128-dense10 on 28×28×1, windows 3×3. ``resnet``: a small ResNet for 32×32×3 (32,
64, 128 features, one block each, batch norm), with 1×1 convolutions where the shape changes. ``resnet20``: that of He
et al. 2016, three blocks each of 16, 32, 64 features.
Each is ``contestant(network, batch, steps) -> run``, and ``run()`` trains with Adam for so many steps.
"""

from __future__ import annotations

import os
from functools import partial

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import jax.numpy as jnp
import numpy as np

ROWS, RATE = 2_000, 1e-3
SHAPES = {"cnn": (28, 28, 1), "resnet": (32, 32, 3), "resnet20": (32, 32, 3)}
STAGES = {  # features and stride of each block
    "resnet": [(32, 1), (64, 2), (128, 2)],
    "resnet20": [(16, 1), (16, 1), (16, 1), (32, 2), (32, 1), (32, 1), (64, 2), (64, 1), (64, 1)],
}


def data(network):
    rng = np.random.default_rng(0)
    return rng.random((ROWS, *SHAPES[network]), np.float32), rng.integers(0, 10, ROWS).astype(np.int32)


def batches(x, y, batch, steps):
    """Yield shuffled batches from the host, epoch after epoch."""
    order, at = np.random.permutation(len(x)), 0
    for _ in range(steps):
        if at + batch > len(x):
            order, at = np.random.permutation(len(x)), 0
        rows = order[at : at + batch]
        at += batch
        yield x[rows], y[rows]


def fnnet(network, batch, steps, formulation="auto"):
    import fnnet as fn

    def conv(features, window=3, **options):
        return fn.conv(features, window, formulation=formulation, **options)

    def block(features, stride):
        plain = {"bias_init": None}
        body = fn.serial(
            conv(features, stride=stride, **plain),
            fn.batch_norm(),
            jax.nn.relu,
            conv(features, **plain),
            fn.batch_norm(),
        )
        same = stride == 1
        shortcut = () if same else (fn.serial(conv(features, 1, stride=stride, **plain), fn.batch_norm()),)
        return fn.serial(fn.residual(body, *shortcut), jax.nn.relu)

    if network == "cnn":
        relu = {"activation": jax.nn.relu}
        convolutions = conv(32, **relu), fn.max_pool(2), conv(64, **relu), fn.max_pool(2)
        net = fn.serial(*convolutions, fn.flatten(3), fn.dense(128, **relu), fn.dense(10))
    else:
        start = conv(STAGES[network][0][0], bias_init=None), fn.batch_norm(), jax.nn.relu
        net = fn.serial(*start, *(block(*stage) for stage in STAGES[network]), fn.global_pool(), fn.dense(10))
    task = fn.Task(net, fn.losses.cross_entropy, fn.adam(RATE))
    x, y = data(network)
    rows = (jnp.asarray(x), jnp.asarray(y))
    state = fn.init(task, jax.random.key(0), x[:1])
    return lambda: fn.fit(task, rows, state=state, steps=steps, batch_size=batch).history["loss"]


def normal(key, shape):
    return jax.random.normal(key, shape) * (2 / np.prod(shape[:-1])) ** 0.5


def by_hand(network, batch, steps):
    """A jitted step by hand with ``jax.lax`` in NHWC, in a Python loop, which reuses its buffers."""
    keys = iter(jax.random.split(jax.random.key(0), 100))

    def conv(x, w, stride=1):
        return jax.lax.conv_general_dilated(x, w, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    def pool(x):
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")

    def norm(x, p, s):
        mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
        y = (x - mean) * jax.lax.rsqrt(var + 1e-5) * p["scale"] + p["bias"]
        return y, {"mean": 0.9 * s["mean"] + 0.1 * mean, "var": 0.9 * s["var"] + 0.1 * var}

    def scale(n):
        return {"scale": jnp.ones(n), "bias": jnp.zeros(n)}

    def statistics(n):
        return {"mean": jnp.zeros(n), "var": jnp.ones(n)}

    if network == "cnn":
        shapes = (3, 3, 1, 32), (3, 3, 32, 64), (3136, 128), (128, 10)
        params = [(normal(next(keys), shape), jnp.zeros(shape[-1])) for shape in shapes]
        state = ()

        def apply(params, state, x):
            for w, b in params[:2]:
                x = pool(jax.nn.relu(conv(x, w) + b))
            x = x.reshape(x.shape[0], -1)
            x = jax.nn.relu(x @ params[2][0] + params[2][1])
            return x @ params[3][0] + params[3][1], state
    else:
        params, state, wide = [], [statistics(STAGES[network][0][0])], STAGES[network][0][0]
        for features, stride in STAGES[network]:
            kernels = [normal(next(keys), (3, 3, wide, features)), normal(next(keys), (3, 3, features, features))]
            kernels += [normal(next(keys), (1, 1, wide, features))] if stride > 1 else []
            params.append((kernels, [scale(features) for _ in kernels]))
            state.append([statistics(features) for _ in kernels])
            wide = features
        narrow = STAGES[network][0][0]
        params = (normal(next(keys), (3, 3, 3, narrow)), scale(narrow)), params, normal(next(keys), (wide, 10))

        def apply(params, state, x):
            (first, first_norm), blocks, last = params
            x, start = norm(conv(x, first), first_norm, state[0])
            x, new = jax.nn.relu(x), [start]
            for (kernels, norms), statistics, (_, stride) in zip(blocks, state[1:], STAGES[network], strict=True):
                y, s1 = norm(conv(x, kernels[0], stride), norms[0], statistics[0])
                y, s2 = norm(conv(jax.nn.relu(y), kernels[1]), norms[1], statistics[1])
                after = [s1, s2]
                if stride > 1:
                    x, s3 = norm(conv(x, kernels[2], stride), norms[2], statistics[2])
                    after.append(s3)
                x = jax.nn.relu(x + y)
                new.append(after)
            return x.mean((1, 2)) @ last, new

    zeros = jax.tree.map(jnp.zeros_like, params)
    carry = params, zeros, jax.tree.map(jnp.zeros_like, params), state, 0.0

    @partial(jax.jit, donate_argnums=0)
    def step(carry, x, y):
        params, m, v, state, t = carry

        def loss_of(params):
            logits, new = apply(params, state, x)
            return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1).mean(), new

        (loss, state), g = jax.value_and_grad(loss_of, has_aux=True)(params)
        t = t + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        params = jax.tree.map(
            lambda p, m, v: p - RATE * (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8), params, m, v
        )
        return (params, m, v, state, t), loss

    x, y = data(network)

    def run():
        nonlocal carry
        for xs, ys in batches(x, y, batch, steps):
            carry, loss = step(carry, xs, ys)
        return np.asarray(loss)

    return run


def torch(network, batch, steps, channels_last=True, compiled=False):
    """PyTorch with its fused Adam."""
    import torch as t

    def conv(n, features, window=3, stride=1):
        return t.nn.Conv2d(n, features, window, stride, padding=window // 2, bias=False)

    class Block(t.nn.Module):
        def __init__(self, n, features, stride):
            super().__init__()
            layers = conv(n, features, 3, stride), t.nn.BatchNorm2d(features), t.nn.ReLU()
            self.body = t.nn.Sequential(*layers, conv(features, features), t.nn.BatchNorm2d(features))
            projection = t.nn.Sequential(conv(n, features, 1, stride), t.nn.BatchNorm2d(features))
            self.shortcut = t.nn.Identity() if stride == 1 else projection

        def forward(self, x):
            return t.relu(self.body(x) + self.shortcut(x))

    if network == "cnn":
        layers = []
        for n, features in ((1, 32), (32, 64)):
            layers += [t.nn.Conv2d(n, features, 3, padding=1), t.nn.ReLU(), t.nn.MaxPool2d(2)]
        layers += [t.nn.Flatten(), t.nn.Linear(3136, 128), t.nn.ReLU(), t.nn.Linear(128, 10)]
    else:
        wide = STAGES[network][0][0]
        layers = [conv(3, wide), t.nn.BatchNorm2d(wide), t.nn.ReLU()]
        for features, stride in STAGES[network]:
            layers.append(Block(wide, features, stride))
            wide = features
        layers += [t.nn.AdaptiveAvgPool2d(1), t.nn.Flatten(), t.nn.Linear(wide, 10)]
    layout = t.channels_last if channels_last else t.contiguous_format
    net = t.nn.Sequential(*layers).to(memory_format=layout)
    optimizer, loss_of = t.optim.Adam(net.parameters(), RATE, fused=True), t.nn.CrossEntropyLoss()
    x, y = data(network)
    x = t.from_numpy(x.transpose(0, 3, 1, 2).copy()).contiguous(memory_format=layout)
    y = t.from_numpy(y.astype(np.int64))
    forward = t.compile(lambda x, y: loss_of(net(x), y)) if compiled else lambda x, y: loss_of(net(x), y)

    def run():
        order, at = t.randperm(ROWS), 0
        for _ in range(steps):
            if at + batch > ROWS:
                order, at = t.randperm(ROWS), 0
            rows = order[at : at + batch]
            at += batch
            optimizer.zero_grad()
            loss = forward(x[rows].contiguous(memory_format=layout), y[rows])
            loss.backward()
            optimizer.step()
        return loss.item()

    return run


def nnx(network, batch, steps):
    """Flax NNX, split and merged around ``jax.jit``."""
    import optax
    from flax import nnx

    rngs = nnx.Rngs(0)

    def conv(n, features, window=3, stride=1):
        return nnx.Conv(n, features, (window, window), (stride, stride), use_bias=network == "cnn", rngs=rngs)

    def pool(x):
        return nnx.max_pool(x, (2, 2), (2, 2))

    class Block(nnx.Module):
        def __init__(self, n, features, stride):
            self.conv1, self.norm1 = conv(n, features, 3, stride), nnx.BatchNorm(features, rngs=rngs)
            self.conv2, self.norm2 = conv(features, features), nnx.BatchNorm(features, rngs=rngs)
            projection = stride > 1
            self.conv3 = conv(n, features, 1, stride) if projection else None
            self.norm3 = nnx.BatchNorm(features, rngs=rngs) if projection else None

        def __call__(self, x):
            y = self.norm2(self.conv2(nnx.relu(self.norm1(self.conv1(x)))))
            return nnx.relu(y + (x if self.conv3 is None else self.norm3(self.conv3(x))))

    if network == "cnn":
        ends = nnx.Linear(3136, 128, rngs=rngs), nnx.Linear(128, 10, rngs=rngs)
        layers = [conv(1, 32), nnx.relu, pool, conv(32, 64), nnx.relu, pool]
        layers += [lambda x: x.reshape(x.shape[0], -1), ends[0], nnx.relu, ends[1]]
    else:
        wide = STAGES[network][0][0]
        layers = [conv(3, wide), nnx.BatchNorm(wide, rngs=rngs), nnx.relu]
        for features, stride in STAGES[network]:
            layers.append(Block(wide, features, stride))
            wide = features
        layers += [lambda x: x.mean((1, 2)), nnx.Linear(wide, 10, rngs=rngs)]
    net = nnx.Sequential(*layers)
    optimizer = nnx.Optimizer(net, optax.adam(RATE), wrt=nnx.Param)
    graph, state = nnx.split((net, optimizer))

    @partial(jax.jit, donate_argnums=0)
    def step(state, x, y):
        net, optimizer = nnx.merge(graph, state)

        def loss_of(net):
            return optax.softmax_cross_entropy_with_integer_labels(net(x), y).mean()

        loss, grads = nnx.value_and_grad(loss_of)(net)
        optimizer.update(net, grads)
        return nnx.split((net, optimizer))[1], loss

    x, y = data(network)

    def run():
        nonlocal state
        for xs, ys in batches(x, y, batch, steps):
            state, loss = step(state, xs, ys)
        return np.asarray(loss)

    return run


def keras(network, batch, steps):
    import keras as k

    def conv(x, features, window=3, stride=1):
        return k.layers.Conv2D(features, window, stride, padding="same", use_bias=network == "cnn")(x)

    def norm(x):
        return k.layers.BatchNormalization()(x)

    x = start = k.Input(SHAPES[network])
    if network == "cnn":
        for features in (32, 64):
            x = k.layers.MaxPooling2D(2)(k.layers.ReLU()(conv(x, features)))
        x = k.layers.Dense(128, activation="relu")(k.layers.Flatten()(x))
    else:
        x = k.layers.ReLU()(norm(conv(x, STAGES[network][0][0])))
        for features, stride in STAGES[network]:
            y = norm(conv(k.layers.ReLU()(norm(conv(x, features, 3, stride))), features))
            x = k.layers.ReLU()(y + (x if stride == 1 else norm(conv(x, features, 1, stride))))
        x = k.layers.GlobalAveragePooling2D()(x)
    model = k.Model(start, k.layers.Dense(10)(x))
    model.compile(k.optimizers.Adam(RATE), k.losses.SparseCategoricalCrossentropy(from_logits=True))
    xs, ys = data(network)
    rows = np.arange(steps * batch) % ROWS
    xs, ys = xs[rows], ys[rows]
    return lambda: model.fit(xs, ys, batch_size=batch, epochs=1, verbose=0).history["loss"]


def equinox(network, batch, steps):
    import equinox as eqx
    import optax

    if network != "cnn":
        raise SystemExit("equinox: the first network alone")
    keys = jax.random.split(jax.random.key(0), 4)
    net = eqx.nn.Sequential(
        [
            eqx.nn.Conv2d(1, 32, 3, padding=1, key=keys[0]),
            eqx.nn.Lambda(jax.nn.relu),
            eqx.nn.MaxPool2d(2, 2),
            eqx.nn.Conv2d(32, 64, 3, padding=1, key=keys[1]),
            eqx.nn.Lambda(jax.nn.relu),
            eqx.nn.MaxPool2d(2, 2),
            eqx.nn.Lambda(jnp.ravel),
            eqx.nn.Linear(3136, 128, key=keys[2]),
            eqx.nn.Lambda(jax.nn.relu),
            eqx.nn.Linear(128, 10, key=keys[3]),
        ]
    )
    optimizer = optax.adam(RATE)
    opt_state = optimizer.init(eqx.filter(net, eqx.is_array))

    @eqx.filter_jit(donate="all-except-first")
    def step(batch, net, opt_state):
        x, y = batch

        def loss_of(net):
            return optax.softmax_cross_entropy_with_integer_labels(jax.vmap(net)(x), y).mean()

        loss, grads = eqx.filter_value_and_grad(loss_of)(net)
        updates, opt_state = optimizer.update(grads, opt_state)
        return eqx.apply_updates(net, updates), opt_state, loss

    x, y = data(network)
    x = x.transpose(0, 3, 1, 2).copy()

    def run():
        nonlocal net, opt_state
        for rows in batches(x, y, batch, steps):
            net, opt_state, loss = step(rows, net, opt_state)
        return np.asarray(loss)

    return run


CONTESTANTS = {
    "by hand": by_hand,
    "fnnet": fnnet,
    "fnnet, columns": partial(fnnet, formulation="columns"),
    "fnnet, XLA's": partial(fnnet, formulation="xla"),
    "torch, channels last": torch,
    "torch": partial(torch, channels_last=False),
    "torch, compiled": partial(torch, compiled=True),
    "nnx": nnx,
    "keras": keras,
    "equinox": equinox,
}
