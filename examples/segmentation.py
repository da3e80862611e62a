"""Which digit is each pixel of? A U-Net, learnt pixel by pixel and scored by mean intersection over union.

Real handwritten digits, one or two of any colour on textures. The U-Net is composed of `residual(combine=concat)`: at
each level the image is made smaller, seen, made larger again, and laid beside what was there. Learnt from 4 000
writers' digits, scored on scenes of the other 1 000.

python examples/segmentation.py [--plot segmentation.png]
"""

import argparse

import jax
import numpy as np

import fnnet as fn

SIZE = (48, 48)
WEIGHTS = np.array([0.4] + [1.0] * 10, np.float32)  # most pixels are background


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--plot", metavar="FILE")
    options = parser.parse_args()

    train, test = scenes(min(12_000, 16 * options.steps), 500)
    rate = fn.schedules.one_cycle(5e-3, steps=options.steps)
    metrics = (fn.metrics.mean_iou(11), fn.metrics.pixel_accuracy(11), fn.metrics.dice(11))
    task = fn.Task(network(), loss, fn.adamw(rate, weight_decay=1e-4), metrics)
    result = fn.fit(task, (train.x, train.masks), key=jax.random.key(0), steps=options.steps, batch_size=16)

    print(f"{len(test.x)} scenes of digits not seen in training")
    for name, value in fn.evaluate(task, result.state, (test.x, test.masks), batch_size=50).items():
        print(f"{name:15} {float(value):.3f}")

    if options.plot:
        found = fn.predict(task, result.state, test.x[:6]).argmax(-1)
        classes = ("nothing", *map(str, range(10)))
        figure = fn.plotting.masks(test.x[:6], test.masks[:6], found, classes=classes, columns=2)
        figure.savefig(options.plot)


def loss(logits, labels):
    return fn.losses.pixel_cross_entropy(logits, labels, class_weights=WEIGHTS)


def scenes(train, test):
    """Scenes of one or two digits: of 4 000 digits to learn from, of the other 1 000 to be scored on."""
    digits = fn.data.mnist_digits()
    mixed = np.random.default_rng(0).permutation(len(digits.y))
    options = {"size": SIZE, "objects": (1, 2), "scale": (0.5, 0.8), "channels": 1}
    return tuple(
        fn.data.scenes(digits.x[rows], digits.y[rows], count, seed=seed, **options)
        for seed, (rows, count) in enumerate(((mixed[:4000], train), (mixed[4000:], test)))
    )


def network():
    """A U-Net of four levels with residual blocks in the lower two, where a place is wide and steps are cheap."""

    def block(features):
        return fn.conv(features, bias_init=None), fn.batch_norm(momentum=0.9), jax.nn.relu

    def residual_block(features):
        return fn.residual(fn.serial(*block(features), *block(features)))

    def level(features, *below):
        smaller = fn.serial(fn.max_pool(2), *below, fn.conv_transpose(features, 2, stride=2))
        return fn.residual(smaller, combine=fn.compose.concat)

    lowest = (*block(64), residual_block(64), residual_block(64))
    third = (*block(64), residual_block(64), level(64, *lowest), *block(64))
    second = (*block(32), level(32, *third), *block(32))
    return fn.serial(*block(16), level(16, *second), *block(16), fn.conv(11, 1))


if __name__ == "__main__":
    main()
