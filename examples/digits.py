"""Read handwritten digits: define, train with validation, test, and look at the mistakes.

python examples/digits.py [--plot digits.png]
"""

import argparse

import jax
import numpy as np

import fnnet as fn


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--plot", metavar="FILE")
    options = parser.parse_args()

    train, validation, test = fn.data.split(fn.data.digits(), (0.7, 0.15, 0.15), seed=0)
    net = fn.serial(fn.dense(64, activation=jax.nn.relu), fn.dense(10))
    task = fn.Task(net, fn.losses.cross_entropy, fn.adam(3e-3), metrics=(fn.metrics.accuracy(),))
    result = fn.fit(
        task,
        train.arrays,
        key=jax.random.key(0),
        epochs=options.epochs,
        batch_size=32,
        validation=validation.arrays,
        callbacks=[fn.callbacks.progress("digits")],
    )
    values = fn.evaluate(task, result.state, test.arrays)
    print(f"test: loss {values['loss']:.3f}, accuracy {values['accuracy']:.3f}")

    read = np.argmax(fn.predict(task, result.state, test.x), axis=1)
    wrong = np.flatnonzero(read != test.y)
    for row in wrong[:5]:
        print(f"a {test.y[row]} was read as {read[row]}")

    if options.plot:
        fn.plotting.learning_curves(result.metrics, title="digits").savefig(options.plot)


if __name__ == "__main__":
    main()
