"""Digits found and named in scenes: a detector by centres, scored by COCO's average precision.

Real handwritten digits, one to four of any size and colour, on textures that no threshold sees through. A body of
convolutions sees a quarter of the size; for each cell and digit its head says whether the middle of one is there, and
how far it reaches. Learnt from 4 000 writers' digits, scored on scenes of the other 1 000.

python examples/detection.py [--plot detection.png]
"""

import argparse
from functools import partial

import jax
import numpy as np

import fnnet as fn

STRIDE = 4


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=1600)
    parser.add_argument("--plot", metavar="FILE")
    options = parser.parse_args()

    # No scene is seen oftener than a few times, so there are no more than that takes.
    train, test = scenes(min(8000, 16 * options.steps), 500)
    rate = fn.schedules.one_cycle(3e-3, steps=options.steps)
    task = fn.Task(detector(), partial(fn.losses.centers, stride=STRIDE), fn.adamw(rate, weight_decay=1e-4))
    result = fn.fit(task, (train.x, train.objects), key=jax.random.key(0), steps=options.steps, batch_size=16)

    maps = fn.predict(task, result.state, test.x, batch_size=100)
    found = fn.boxes.suppress(fn.boxes.center_detections(maps, stride=STRIDE, count=40))
    metric = fn.metrics.mean_average_precision(10)
    scores = metric.compute(metric.update(metric.init(), found, test.objects))
    print(f"{len(test.x)} scenes of digits not seen in training, {int(test.objects.valid.sum())} digits")
    for name in ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AR1", "AR10"):
        print(f"{name:10} {scores[name]:.3f}")
    print("AP of each digit ", " ".join(f"{digit}: {ap:.2f}" for digit, ap in enumerate(scores["AP_per_class"])))

    if options.plot:
        shown = slice(6)
        truth, said = (jax.tree.map(lambda leaf: leaf[shown], part) for part in (test.objects, found))
        figure = fn.plotting.objects(
            test.x[shown], truth, said, score=0.3, columns=3, title="digits that are there (dashed) and that were found"
        )
        figure.savefig(options.plot)


def scenes(train, test):
    """Scenes of 64 × 64 pixels: of 4 000 digits to learn from, of the other 1 000 to be scored on."""
    digits = fn.data.mnist_digits()
    mixed = np.random.default_rng(0).permutation(len(digits.y))
    return tuple(
        fn.data.scenes(digits.x[rows], digits.y[rows], count, seed=seed, channels=1)
        for seed, (rows, count) in enumerate(((mixed[:4000], train), (mixed[4000:], test)))
    )


def detector():
    """A body of stride 4 with two residual blocks, and the head."""

    def block(features):
        return fn.conv(features, bias_init=None), fn.batch_norm(momentum=0.9), jax.nn.relu

    def residual_block(features):
        return fn.residual(fn.serial(*block(features), *block(features)))

    narrow = (*block(16), fn.max_pool(2), *block(32), fn.max_pool(2))
    body = fn.serial(*narrow, *block(64), residual_block(64), residual_block(64))
    return fn.serial(body=body, head=fn.nets.center_head(10, 64, norm=True))


if __name__ == "__main__":
    main()
