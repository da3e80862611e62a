"""Which pixels are of which digit? A U-Net, scored by the mean intersection over union of eleven classes.

One or two real digits of any size and colour on a texture. The network goes down to a quarter of the size, where it
tells digits apart, and up again, where the maps handed across tell it the edges. Most pixels are background: it counts
a fifth in the loss, and as one class of eleven in the score. Scored on scenes of digits that were not seen.

python examples/segmentation.py [--plot segmentation.png]
"""

import argparse
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import fnnet as fn

CLASSES = ("background", *map(str, range(10)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=3500)
    parser.add_argument("--plot", metavar="FILE")
    options = parser.parse_args()

    # No scene is seen oftener than a few times, so there are no more than that takes.
    train, test = scenes(min(12_000, 16 * options.steps), 500)
    fallback = fn.adamw(fn.schedules.one_cycle(4e-3, steps=options.steps), weight_decay=1e-4)
    optimizer = fn.muon(fn.schedules.one_cycle(2e-2, steps=options.steps), fallback=fallback)
    weights = jnp.ones(len(CLASSES)).at[0].set(0.2)
    loss = partial(fn.losses.pixel_cross_entropy, class_weights=weights)
    task = fn.Task(unet(len(CLASSES)), loss, optimizer)
    result = fn.fit(task, (train.x, train.masks), key=jax.random.key(0), steps=options.steps, batch_size=16)

    logits = fn.predict(task, result.state, test.x, batch_size=100)
    found = np.argmax(logits, axis=-1)
    print(f"{len(test.x)} scenes of digits not seen in training")
    metrics = {
        "pixels right": fn.metrics.pixel_accuracy(),
        "mean IoU": fn.metrics.mean_iou(len(CLASSES)),
        "mean Dice": fn.metrics.dice(len(CLASSES)),
    }
    for name, metric in metrics.items():
        print(f"{name:12} {metric.compute(metric.update(metric.init(), logits, test.masks)):.3f}")
    shares = [iou(found == label, test.masks == label) for label in range(len(CLASSES))]
    print("IoU of each ", " ".join(f"{name}: {share:.2f}" for name, share in zip(CLASSES, shares, strict=True)))
    print(f"digit or not {iou(found > 0, test.masks > 0):.3f}")

    if options.plot:
        figure = fn.plotting.masks(test.x[:6], test.masks[:6], found[:6], classes=CLASSES, columns=2)
        figure.savefig(options.plot)


def scenes(train, test):
    """Scenes of 48 × 48 pixels: of 4 000 digits to learn from, of the other 1 000 to be scored on."""
    digits = fn.data.mnist_digits()
    mixed = np.random.default_rng(0).permutation(len(digits.y))
    options = {"size": (48, 48), "objects": (1, 2), "scale": (0.5, 0.8), "overlap": 0.0, "channels": 1}
    return tuple(
        fn.data.scenes(digits.x[rows], digits.y[rows], count, seed=seed, **options)
        for seed, (rows, count) in enumerate(((mixed[:4000], train), (mixed[4000:], test)))
    )


def unet(classes):
    """Two levels, narrow, above a body of five convolutions, which sees the whole of a digit."""

    def block(features):
        return fn.conv(features, bias_init=None), fn.batch_norm(momentum=0.9), jax.nn.relu

    def residual_block(features):
        return fn.residual(fn.serial(*block(features), *block(features)))

    def level(features, *below):
        lower = fn.serial(fn.max_pool(2), *below, fn.conv_transpose(features, 2, stride=2))
        return *block(features), fn.residual(lower, combine=fn.compose.concat), *block(features)

    body = *block(64), residual_block(64), residual_block(64)
    return fn.serial(*level(16, *level(32, *body)), fn.conv(classes, 1))


def iou(found, true):
    return (found & true).sum() / (found | true).sum()


if __name__ == "__main__":
    main()
