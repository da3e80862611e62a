"""Four questions about one digit, each with a sigmoid of its own: labels that do not exclude one another.

Is it even, prime, greater than four, drawn with a closed loop? One network answers all four; beside it, for each, the
share of right answers by who always says what is more frequent.

python examples/labels.py [--plot labels.png]
"""

import argparse

import jax
import numpy as np

import fnnet as fn

QUESTIONS = {
    "even": {0, 2, 4, 6, 8},
    "prime": {2, 3, 5, 7},
    "greater than four": {5, 6, 7, 8, 9},
    "closed loop": {0, 6, 8, 9},
}


def answers(digits):
    """Return a 0 or 1 for each digit and question."""
    return np.stack([np.isin(digits, list(yes)) for yes in QUESTIONS.values()], axis=1).astype(np.float32)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--plot", metavar="FILE")
    options = parser.parse_args()

    train, test = fn.data.split(fn.data.digits(), (0.8, 0.2), seed=0)
    net = fn.serial(fn.dense(64, activation=jax.nn.relu), fn.dense(len(QUESTIONS)))
    task = fn.Task(net, fn.losses.binary_cross_entropy, fn.adam(3e-3), metrics=(fn.metrics.binary_accuracy(),))
    data = train.x, answers(train.y)
    state = fn.fit(task, data, key=jax.random.key(0), epochs=options.epochs, batch_size=32).state

    asked, z = answers(test.y), np.asarray(fn.predict(task, state, test.x))
    right = ((z > 0) == asked).mean(0)
    most = np.maximum(asked.mean(0), 1 - asked.mean(0))
    print(f"{len(test.y)} unseen digits, {(((z > 0) == asked).all(1)).mean():.3f} of them with all four answers right")
    for question, share, base in zip(QUESTIONS, right, most, strict=True):
        print(f"{question:18} {share:.3f} right, {base:.3f} by the more frequent answer")

    if options.plot:
        draw(jax.nn.sigmoid(z), test.y).savefig(options.plot)


def draw(p, digits):
    """The mean probability of a yes, by digit: each question has its own set."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.add_subplot()
    means = np.stack([p[digits == digit].mean(0) for digit in range(10)], axis=1)
    image = axes.imshow(means, vmin=0, vmax=1, cmap="Blues")
    for (row, digit), value in np.ndenumerate(means):
        axes.text(digit, row, f"{value:.2f}", ha="center", va="center", color="white" if value > 0.5 else "black")
    axes.set(title="what a network of four sigmoids answers", xlabel="digit", xticks=range(10))
    axes.set_yticks(range(len(QUESTIONS)), QUESTIONS)
    figure.colorbar(image, label="mean probability of a yes")
    return figure


if __name__ == "__main__":
    main()
