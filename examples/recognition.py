"""Which digit is it? A small convolutional network on two sets of real digits, and where in an image it looks.

Three pairs of convolutions and the mean of what they see, trained on digits that are shifted and turned at random in
every step: on a stratified three quarters of scikit-learn's 1 797 digits, of 8 × 8 pixels, and of 5 000 of MNIST, of
28 × 28. Pictured are the confusion of MNIST's last quarter, the first layer's filters and what they make of one digit,
and where the gradient by the pixels, and Grad-CAM, find the reason for an answer.

python examples/recognition.py [--plot recognition.png]
"""

import argparse
import pathlib

import jax
import numpy as np
import scipy.stats

import fnnet as fn

SETS = {
    "scikit-learn's digits": (lambda: fn.data.digits(images=True), 32, 800),
    "MNIST's digits": (fn.data.mnist_digits, 16, 800),
}  # with the features of the first pair of convolutions, and the steps of a training


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, help="of each training (default: 800)")
    parser.add_argument("--plot", metavar="FILE")
    options = parser.parse_args()

    for name, (read, width, steps) in SETS.items():
        train, test = fn.data.split(read(), (0.75, 0.25))
        task = training(width, options.steps or steps)
        states = [learnt(task, train, seed, options.steps or steps) for seed in range(options.seeds)]
        shares = [float(fn.evaluate(task, state, test.arrays)["accuracy"]) for state in states]
        print(f"{name}: accuracy on {len(test.y)} held out, {interval(shares)}")

    if options.plot:
        draw(task, states[0], test, pathlib.Path(options.plot))


def training(width, steps):
    """Three pairs of convolutions, each on half the size of the one before, and the mean over all places."""

    def pair(features):
        return (fn.conv(features, bias_init=None), fn.batch_norm(momentum=0.9), jax.nn.relu) * 2

    halved = (*pair(width), fn.max_pool(2), *pair(2 * width), fn.max_pool(2))
    net = fn.serial(*halved, *pair(4 * width), fn.global_pool(), fn.dense(10))
    optimizer = fn.adamw(fn.schedules.one_cycle(5e-3, steps=steps), weight_decay=1e-3)
    return fn.Task(net, fn.losses.cross_entropy, optimizer, metrics=(fn.metrics.accuracy(),))


def learnt(task, train, seed, steps):
    """Return the state after training on images that are moved at random in every step."""
    moved = fn.augmentation.affine(10, translate=0.08, scale=0.1)
    options = {"steps": steps, "batch_size": 64, "transform": moved}
    return fn.fit(task, train.arrays, key=jax.random.key(seed), **options).state


def interval(values):
    """The mean of runs, with half of its 95 % interval by Student's t if there are several."""
    count, each = len(values), " ".join(f"{value:.4f}" for value in values)
    half = scipy.stats.t.ppf(0.975, count - 1) * np.std(values, ddof=1) / np.sqrt(count) if count > 1 else np.inf
    return f"mean of {count} runs {np.mean(values):.4f} ± {half:.4f} ({each})"


def draw(task, state, test, path):
    """Draw where the network looks to `path`, and beside it its confusion, filters and maps."""
    net, params, kept = task.net, state.params, state.state
    x = test.x[[int(np.argmax(test.y == digit)) for digit in range(10)]]
    said = np.argmax(net(params, x, kept), -1)
    heats = (
        fn.inspection.saliency(net, params, x, kept, smooth=16, key=jax.random.key(0)),
        fn.inspection.grad_cam(net, params, x, "relu_5", kept),
    )
    both, titles = np.concatenate([x, x]), [f"{way}: {digit}" for way in ("gradient", "Grad-CAM") for digit in said]
    figures = {"": fn.plotting.heat_over(both, np.concatenate(heats), titles, columns=5)}

    logits = fn.predict(task, state, test.x)
    metric = fn.metrics.confusion_matrix(10)
    counts = metric.compute(metric.update(metric.init(), logits, test.y))
    figures["_confusion"] = fn.plotting.confusion(counts, title="MNIST's digits that were held out")
    figures["_filters"] = fn.plotting.filters(params["conv_0"]["kernel"], title="kernels of the first convolution")
    maps = fn.inspection.activations(net, params, x[2:3], kept)["relu_0"]
    figures["_maps"] = fn.plotting.feature_maps(maps[0], title="what they make of a 2")
    for part, figure in figures.items():
        figure.savefig(path.with_stem(path.stem + part))


if __name__ == "__main__":
    main()
