"""Batch, mini-batch and stochastic gradient descent: their paths on one loss surface, their noise, and their cost.

Logistic regression of breast tumours. The gradient of B examples drawn at random, with replacement, is that of all plus
noise of which the variance is σ² / B. Fewer examples cost less a step, and need more steps: printed is what each size
needs, in updates and in examples seen, until the loss of all examples first falls below a bound: one far from the least
loss, one near it, where noise keeps small batches away.

python examples/11_batches.py [--plot batches.png] [--steps 1500] [--seeds 3]
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np

import fnnet as fn

SIZES = (1, 4, 32, 128)
BOUNDS = (0.1, 0.055)  # of the loss; at the start, without knowledge, it is log 2 = 0.69
RATE = 0.1
DRAWS = 2000


def data():
    x, y = fn.data.breast_cancer().arrays
    return (x - x.mean(0)) / x.std(0), y


def gradient_noise(task, ts, examples, size):
    """Return the variance of the gradient of a batch, summed over parameters: its mean square distance from all's."""

    gradient = jax.grad(lambda params, x, y: task.loss(task.net(params, x), y).mean())

    @jax.jit
    def variance(params, key):
        whole = gradient(params, *examples)

        def apart(key):
            rows = jax.random.randint(key, (size,), 0, len(examples[1]))
            batch = (part[rows] for part in examples)
            return fn.tree.squared_norm(fn.tree.map(jnp.subtract, gradient(params, *batch), whole))

        return jax.lax.map(apart, jax.random.split(key, DRAWS), batch_size=100).mean()

    # Parameters are an argument: XLA's CPU compiler makes nan of products with a constant of zeros, now and then.
    return float(variance(ts.params, jax.random.key(1)))


def first_below(losses, bound):
    """Return, run by run, the updates until the loss is first below the bound; None where it never is."""
    return [int(np.argmax(run < bound)) if run.min() < bound else None for run in losses]


def main(arguments=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--plot", metavar="FILE")
    options = parser.parse_args(arguments)

    examples = jax.tree.map(jnp.asarray, data())
    count = len(examples[1])
    task = fn.Task(fn.dense(2), fn.losses.cross_entropy, fn.sgd(RATE))
    ts = fn.init(task, jax.random.key(0), examples[0])
    ts = ts._replace(params=fn.tree.zeros_like(ts.params))
    sizes = (*SIZES, count)

    noise = {size: gradient_noise(task, ts, examples, size) for size in SIZES}
    slope = np.polyfit(np.log(list(noise)), np.log(list(noise.values())), 1)[0]
    print(f"variance of the gradient of a batch of B examples, {DRAWS} draws: it goes as B^{slope:.2f}")
    for size, variance in noise.items():
        print(f"B = {size:3d}  variance {variance:.4f}  B · variance {size * variance:.3f}")

    runs = [
        fn.inspection.optimizer_paths(
            task, ts._replace(key=jax.random.key(seed)), examples, batch_sizes=sizes, steps=options.steps
        )
        for seed in range(options.seeds)
    ]
    loss = jax.jit(jax.vmap(lambda params: task.loss(task.net(params, examples[0]), examples[1]).mean()))
    losses = {size: np.array([loss(run[size]) for run in runs]) for size in sizes}
    updates = {bound: {size: first_below(values, bound) for size, values in losses.items()} for bound in BOUNDS}
    for bound, by_size in updates.items():
        print(f"until the loss of all {count} examples is below {bound}, at a rate of {RATE}, {options.seeds} orders:")
        for size, steps in by_size.items():
            reached = [step for step in steps if step is not None]
            mean = np.mean(reached) if reached else np.nan
            spent = f"{mean:6.0f} updates, {size * mean:8.0f} examples" if reached else "not reached"
            print(f"B = {size:3d}  {spent}  ({len(reached)} of {len(steps)})")
    for size, values in losses.items():
        print(
            f"B = {size:3d}  loss after {options.steps} updates {values[:, -1].mean():.3f} ± {values[:, -1].std():.3f}"
        )

    if options.plot:
        paths = runs[0]
        shown = {f"stochastic, B = {sizes[0]}": sizes[0], "mini-batch, B = 32": 32, f"batch, B = {count}": count}
        ends = [jax.tree.map(lambda leaf: leaf[-1], paths[size]) for size in (count, sizes[0])]
        plane = fn.inspection.plane(ts.params, *ends)
        drawn = {label: np.asarray(fn.inspection.project(plane, paths[size])) for label, size in shown.items()}
        points = np.concatenate(list(drawn.values()))
        margin = 0.15 * np.ptp(points, axis=0)
        u, v = np.linspace(points.min(0) - margin, points.max(0) + margin, 40).T
        surface = fn.inspection.loss_surface(task, ts, examples, plane, u, v)
        fn.plotting.surface(surface, drawn, title="breast tumours, logistic regression").savefig(options.plot)
    return {"noise": noise, "slope": float(slope), "updates": updates, "losses": losses}


if __name__ == "__main__":
    main()
