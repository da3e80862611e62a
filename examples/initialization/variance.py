"""The variance of the activations of many dense layers, for each activation and initializer, in float64."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import fnnet as fn

WIDTH, EXAMPLES = 100, 100
ROWS = {row.name: row for row in fn.activations.TABLE}
ACTIVATIONS = ["identity", "sigmoid", "tanh", "softplus", "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "mish"]
INITIALIZERS = {
    "zeros": fn.initializers.zeros,
    "normal 0.01": fn.initializers.normal(0.01),
    "normal 1": fn.initializers.normal(1.0),
    "uniform 0.01": fn.initializers.uniform(0.01),
    "truncated 1/√n": fn.initializers.truncated_normal(WIDTH**-0.5),
    "orthogonal": fn.initializers.orthogonal(),
    "lecun_normal": fn.initializers.lecun_normal(),
    "glorot_uniform": fn.initializers.glorot_uniform(),
    "elu's": ROWS["elu"].initializer,
    "he_normal": fn.initializers.he_normal(),
}
MATCHING = {
    name: next(own for own, draw in INITIALIZERS.items() if draw is ROWS[name].initializer) for name in ACTIVATIONS
}
# Programs that run for a moment are compiled at a low level, which takes less.
jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 1})


def deep(depth, activation=None, initializer=None):
    layer = fn.dense(WIDTH, activation=activation, kernel_init=initializer, bias_init=None)
    return fn.repeat(fn.serial(layer=layer), depth)


@partial(jit, static_argnums=(0, 1))
def drawn(depth, initializer, keys, x):
    """Return the parameters of a net for each key: they do not depend on the activation."""
    return jax.vmap(lambda key: deep(depth, initializer=initializer).init(key, x)[0])(keys)


@partial(jit, static_argnums=(0, 1))
def logarithms(depth, activation, params, x):
    """Return for each initializer and seed log10 of the last layer's variance over the first one's.

    That over units and examples, and that over examples alone, as a mean over units.
    """
    net = deep(depth, activation)

    def one(params):
        begun = fn.Layer("begun", lambda key, x: (params, {}), net.apply)
        var = fn.inspection.signal(begun, jax.random.key(0), x).var
        apart = fn.inspection.activations(net, params, x)["repeat/layer"].var(1).mean(-1)
        return jnp.log10(var[-1] / var[0]), jnp.log10(apart[-1] / apart[0])

    return jax.lax.map(jax.vmap(one), params)


def variances(depth, seeds, activations, initializers):
    """Return by (activation, initializer) the two logarithms of each seed, (2, seeds); nan where nothing varies."""
    found = {}
    with jax.enable_x64(True):
        keys, x = jax.random.split(jax.random.key(0), seeds), jax.random.normal(jax.random.key(1), (EXAMPLES, WIDTH))
        params = [drawn(depth, INITIALIZERS[name], keys, x) for name in initializers]
        params = jax.tree.map(lambda *leaves: jnp.stack(leaves), *params)
        for name in activations:
            both = np.asarray(logarithms(depth, ROWS[name].function, params, x))
            found |= {(name, own): both[:, n] for n, own in enumerate(initializers)}
    return found
