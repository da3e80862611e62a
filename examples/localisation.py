"""Where is it? The box of one thing in an image, learnt by intersection over union and its smooth successors.

One real digit of any size and colour on a texture. For each side of its box a convolutional network says how likely it
is in each cell, and the box is what is expected of that. It learns by 1 - IoU, by the generalized and the complete IoU,
and by the squared error of the corners; each is scored by the mean IoU on scenes of digits that it has not seen.

python examples/localisation.py [--plot localisation.png]
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np

import fnnet as fn

SIZE = (48, 48)
LOSSES = {
    "squared error": lambda found, true: fn.losses.squared_error(found / SIZE[0], true / SIZE[0]).sum(-1),
    "IoU": fn.losses.iou,
    "GIoU": fn.losses.giou,
    "CIoU": fn.losses.ciou,
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--plot", metavar="FILE")
    options = parser.parse_args()

    (x, boxes), (test_x, test_boxes) = scenes(min(8000, 32 * options.steps), 500)
    found = {}
    print(f"mean IoU on {len(test_x)} scenes of digits not seen in training")
    for name, loss in LOSSES.items():
        rate = fn.schedules.one_cycle(3e-3, steps=options.steps)
        task = fn.Task(localiser(), loss, fn.adamw(rate, weight_decay=1e-4))
        result = fn.fit(task, (x, boxes), key=jax.random.key(0), steps=options.steps, batch_size=32)
        found[name] = fn.predict(task, result.state, test_x, batch_size=100)
        overlap = np.asarray(fn.boxes.iou(found[name], test_boxes))
        shares = "   ".join(f"above {least}: {(overlap > least).mean():.3f}" for least in (0.5, 0.75, 0.9))
        print(f"{name:14} {overlap.mean():.3f}   {shares}")

    if options.plot:
        truth, said = as_objects(test_boxes[:8]), as_objects(found["CIoU"][:8])
        said = fn.boxes.Detections(said.boxes, np.ones((8, 1), np.float32), said.classes, said.valid)
        figure = fn.plotting.objects(
            test_x[:8], truth, said, classes=("digit",), title="true (dashed) and found, by CIoU"
        )
        figure.savefig(options.plot)


def scenes(train, test):
    """Scenes with one digit: of 4 000 digits to learn from, of the other 1 000 to be scored on."""
    digits = fn.data.mnist_digits()
    mixed = np.random.default_rng(0).permutation(len(digits.y))
    parts = (
        fn.data.scenes(digits.x[rows], digits.y[rows], count, seed=seed, size=SIZE, objects=(1, 1), channels=1)
        for seed, (rows, count) in enumerate(((mixed[:4000], train), (mixed[4000:], test)))
    )
    return tuple((part.x, part.objects.boxes[:, 0]) for part in parts)


def localiser():
    """Convolutions to a grid of a quarter of the size, with four maps on it: one for each side of the box."""

    def block(features):
        return fn.conv(features, bias_init=None), fn.batch_norm(momentum=0.9), jax.nn.relu

    narrow = (*block(16), fn.max_pool(2), *block(32), fn.max_pool(2))
    return fn.serial(*narrow, *block(64), fn.residual(fn.serial(*block(64), *block(64))), fn.conv(4), expected_box)


def expected_box(maps):
    """Of maps (..., h, w, 4), after a softmax over all cells, the places that are expected: (..., 4) in pixels."""
    h, w = maps.shape[-3:-1]
    chances = jax.nn.softmax(maps, axis=(-3, -2))
    across, down = chances.sum(-3), chances.sum(-2)  # of each column, of each row
    x, y = ((jnp.arange(float(cells)) + 0.5) * (pixels / cells) for cells, pixels in ((w, SIZE[1]), (h, SIZE[0])))
    x1, x2 = (across[..., side] @ x for side in (0, 2))
    y1, y2 = (down[..., side] @ y for side in (1, 3))
    return jnp.stack([x1, y1, x2, y2], axis=-1)


def as_objects(boxes):
    boxes = jnp.asarray(boxes)[:, None]
    return fn.boxes.Objects(boxes, np.zeros((len(boxes), 1), np.int32), np.ones((len(boxes), 1), bool))


if __name__ == "__main__":
    main()
