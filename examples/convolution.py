"""A small convolutional network beside a dense one on the digits, and what each costs.

python examples/convolution.py [--plot digits.png]
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np

import fnnet as fn


def block(features):
    return fn.serial(fn.conv(features, 3, bias_init=None), fn.batch_norm(), jax.nn.relu)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--plot", metavar="FILE")
    options = parser.parse_args()

    train, validation, test = fn.data.split(fn.data.digits(images=True), (0.7, 0.1, 0.2), seed=0)
    nets = {
        "dense": fn.serial(fn.flatten(), fn.dense(64, activation=jax.nn.relu), fn.dropout(0.2), fn.dense(10)),
        "convolutional": fn.serial(
            stem=block(16),
            body=fn.residual(block(16)),
            pool=fn.max_pool(2),
            rest=block(32),
            mean=fn.global_pool(),
            head=fn.dense(10),
        ),
    }
    curves = {}
    for name, net in nets.items():
        cost = fn.summary(net, jax.ShapeDtypeStruct((1, 8, 8, 1), jnp.float32))
        schedule = fn.schedules.one_cycle(0.01, steps=options.epochs * (len(train.y) // 32))
        task = fn.Task(net, fn.losses.cross_entropy, fn.adamw(schedule), metrics=(fn.metrics.accuracy(),))
        result = fn.fit(
            task,
            train.arrays,
            key=jax.random.key(0),
            epochs=options.epochs,
            batch_size=32,
            validation=validation.arrays,
        )
        curves[name] = result.metrics
        accuracy = fn.evaluate(task, result.state, test.arrays)["accuracy"]
        print(f"{name:13s}  {cost.parameters:6,} parameters  {cost.flops:9,.0f} FLOPs  test accuracy {accuracy:.3f}")

    if options.plot:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(5, 3.5), layout="constrained")
        axes = figure.subplots()
        for (name, metrics), style in zip(curves.items(), ("o-", "s--"), strict=True):
            axes.plot(metrics["epoch"], metrics["val_accuracy"], style, label=name)
        axes.set(
            xlabel="epoch",
            ylabel="validation accuracy",
            title="digits, 8 × 8",
            xticks=np.arange(0, options.epochs + 1, 2),
        )
        axes.grid(visible=True, alpha=0.3)
        axes.legend()
        figure.savefig(options.plot)


if __name__ == "__main__":
    main()
