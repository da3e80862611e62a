"""Few digits, learnt with and without shifts and turns that make more of them.

A small convolutional network sees 100 labelled digits, as they are or changed at random in every step. Above, one
digit under each transform; what is drawn around it, and a mask of its ink, go with it.

python examples/augmentation.py [--plot augmentation.png]
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np

import fnnet as fn

SHOWN = {
    "as it is": fn.augmentation.chain(),
    "flip": fn.augmentation.flip(probability=1),
    "crop": fn.augmentation.crop(padding=6),
    "resized_crop": fn.augmentation.resized_crop(32, area=(0.3, 0.6)),
    "rotation": fn.augmentation.rotation(30),
    "affine": fn.augmentation.affine(20, translate=0.1, scale=0.3, shear=15),
    "color": fn.augmentation.color(brightness=(0.5, 0.6), contrast=(0.6, 0.6)),
    "erasing": fn.augmentation.erasing(probability=1, area=(0.1, 0.2), fill=0.5),
}
LEARNT = {
    "as they are": None,
    "shifted and turned": fn.augmentation.affine(12, translate=0.08, scale=0.1),
    "mixed": fn.augmentation.mixup(0.2, classes=10),
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--plot", metavar="FILE")
    options = parser.parse_args()

    digits = fn.data.digits(images=True)
    for name, transform in LEARNT.items():
        found = [accuracy(digits, transform, seed, options.steps) for seed in range(options.seeds)]
        print(f"100 digits {name:18}  accuracy on others {np.mean(found):.3f}, of seeds {np.round(found, 3).tolist()}")

    if options.plot:
        draw(digits.x[:1]).savefig(options.plot)


def accuracy(digits, transform, seed, steps):
    """Learn from 100 digits, others for each seed, and return the share of right answers on the rest."""
    train, test = fn.data.split(digits, (100 / len(digits.y), 1 - 100 / len(digits.y)), seed=seed)
    net = fn.serial(
        fn.conv(16, 3, activation=jax.nn.relu),
        fn.max_pool(2),
        fn.conv(32, 3, activation=jax.nn.relu),
        fn.flatten(),
        fn.dense(10),
    )
    task = fn.Task(net, fn.losses.cross_entropy, fn.adam(3e-3), metrics=(fn.metrics.accuracy(),))
    options = {"steps": steps, "batch_size": 50, "transform": transform}
    result = fn.fit(task, train.arrays, key=jax.random.key(seed), **options)
    return float(fn.evaluate(task, result.state, test.arrays)["accuracy"])


def draw(x):
    """One digit, four times as large, under each transform: its box in red, and the outline of its mask in blue."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    image = jnp.pad(jax.image.resize(x / x.max(), (1, 24, 24, 1), "nearest"), ((0, 0), (4, 4), (4, 4), (0, 0)))
    mask = (image[..., 0] > 0.5).astype(jnp.int32)
    rows, columns = np.nonzero(np.asarray(mask[0]))
    box = np.array([[[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]]], np.float32)
    y = {"objects": fn.boxes.Objects(box, np.zeros((1, 1), int), np.ones((1, 1), bool)), "mask": mask}

    figure = Figure(figsize=(9, 4.8), layout="constrained")
    for axes, (name, transform) in zip(figure.subplots(2, 4).ravel(), SHOWN.items(), strict=True):
        changed, moved = jax.jit(transform)(jax.random.key(3), (image, y))
        height, width = changed.shape[1:3]
        axes.imshow(changed[0, ..., 0], cmap="gray", vmin=0, vmax=1, extent=(0, width, height, 0))
        places = np.arange(width) + 0.5, np.arange(height) + 0.5
        axes.contour(*places, moved["mask"][0], levels=[0.5], colors="#56B4E9", linewidths=1)
        x1, y1, x2, y2 = np.asarray(moved["objects"].boxes[0, 0])
        axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor="#D55E00", linewidth=2))
        axes.set(title=name, xticks=[], yticks=[])
    return figure


if __name__ == "__main__":
    main()
