"""What is measured of deep nets: all those of one depth are one compiled program, for all their rates and seeds."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from deep_gradients.nets import Net, make_task

import fnnet as fn

BATCH = 32
SEEN = 256  # examples of which gradients and dead units are those


def norms(values):
    """Return the norm of each layer's values (layers, examples, units), none of whose squares float32 may lose."""
    most = jnp.abs(values).max((1, 2), keepdims=True)
    return most[:, 0, 0] * jnp.linalg.norm(values / jnp.where(most > 0, most, 1), axis=(1, 2))


def dead(net, ts, x):
    """Return the share of hidden units of which the activation's slope is 0 on every example; nan after divergence."""
    found = fn.inspection.dead_units(net, ts.params, x, ts.state)
    units = jnp.concatenate([units.ravel() for path, units in found.items() if path.endswith("activation_0")])
    return jnp.where(jnp.isfinite(fn.tree.norm(ts.params)), units.mean(), jnp.nan)


# Most of the time is that of compiling, which takes half as long at a low level; the program is hardly slower.
@partial(jax.jit, static_argnums=(0, 1, 2), compiler_options={"xla_backend_optimization_level": 1})
def measured(batch_norm, depth, steps, nets, rates, keys, train, test):
    """Return by net and seed what is seen at the start, and by net, rate and seed what after the training.

    `flow` is the norm of the gradient by the output of each hidden layer, `whole` that by all parameters; `right` says
    which of the test examples are.
    """
    some = jax.tree.map(lambda part: part[:SEEN], train)

    def of_net(numbers):
        task = make_task(Net(*numbers, batch_norm=batch_norm), depth)

        def at_start(ts):
            found = fn.inspection.gradients(task, ts, some)
            hidden = jnp.concatenate([found.activations["first"][None], found.activations["body/block"]])
            return {"flow": norms(hidden), "whole": fn.tree.norm(found.params), "dead": dead(task.net, ts, some[0])}

        def at_end(ts, rate):
            ts = ts._replace(opt_state=fn.with_hyperparams(ts.opt_state, {"learning_rate": rate}))
            order = fn.sampling.in_order()  # the split has shuffled them
            ts, _ = fn.run(task, ts, train, steps=steps, batch_size=BATCH, sampler=order, record=fn.Record(every=0))
            right = task.net.apply(ts.params, ts.state, test[0])[0].argmax(-1) == test[1]
            return {"right": right, "dead": dead(task.net, ts, some[0])}

        starts = jax.vmap(lambda key: fn.init(task, key, some[0]))(keys)
        return jax.vmap(at_start)(starts), jax.vmap(jax.vmap(at_end, (0, None)), (None, 0))(starts, rates)

    return jax.lax.map(of_net, nets)


def results(nets, depth, rates, seeds, steps, train, test):
    """Return by name what is measured of each net, an array of seeds each, after training at the best rate for it.

    The rate is chosen by the first half of the test examples, and the accuracy is that on the second.
    """
    keys, half, found = jax.random.split(jax.random.key(0), seeds), len(test[1]) // 2, {}
    for batch_norm in sorted({net.batch_norm for net in nets.values()}):
        names = [name for name, net in nets.items() if net.batch_norm == batch_norm]
        numbers = tuple(np.array([nets[name][:-1] for name in names], np.float32).T)
        both = measured(batch_norm, depth, steps, numbers, rates, keys, train, test)
        start, end = jax.tree.map(np.asarray, both)
        for n, name in enumerate(names):
            right, share = end["right"][n], end["dead"][n]
            best = int(right[..., :half].mean((1, 2)).argmax())
            chosen = {"rate": rates[best], "accuracy": right[best, :, half:].mean(-1), "dead after": share[best]}
            own = {key: values[n] for key, values in start.items()}
            with np.errstate(divide="ignore", invalid="ignore"):
                own["ratio"] = own["flow"][:, 0] / own["flow"][:, -1]
            found[name] = own | chosen | {"dead at the greatest rate": share[-1]}
    return {name: found[name] for name in nets}


def spread(values):
    """Return the mean over seeds and its standard error."""
    return values.mean(), values.std(ddof=1) / np.sqrt(len(values))


def geometric(values):
    """Return the geometric mean over seeds."""
    with np.errstate(divide="ignore"):
        return np.exp(np.log(values.astype(np.float64)).mean(0))
