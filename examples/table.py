"""From a CSV file to a saved model and back: columns, a schema of training statistics, regression, weights.

python examples/table.py [--csv FILE --target COLUMN] [--plot predicted.png]

Without a file of your own, the diabetes data are written to one first.
"""

import argparse
import json
import pathlib
import tempfile

import jax
import numpy as np

import fnnet as fn


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--csv", metavar="FILE")
    parser.add_argument("--target", default="progression", metavar="COLUMN")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--plot", metavar="FILE")
    options = parser.parse_args()
    directory = pathlib.Path(tempfile.mkdtemp())

    # Columns of numbers and of text are told apart; the schema is of the training rows alone.
    path = options.csv or write_diabetes(directory / "diabetes.csv")
    parts = fn.data.split(fn.data.read(path, options.target, regression=True), (0.7, 0.15, 0.15), seed=0)
    schema = fn.data.fit_schema(parts[0])
    train, validation, test = (fn.data.apply_schema(schema, part) for part in parts)
    mean, scale = train.y.mean(), train.y.std()

    net = fn.serial(fn.dense(16, activation=jax.nn.tanh), fn.dense(1), units=lambda z: scale * z + mean)
    optimizer = fn.adamw(fn.schedules.cosine(0.01, steps=options.epochs * (len(train.y) // 32)), weight_decay=0.1)
    task = fn.Task(net, lambda z, y: fn.losses.squared_error(z / scale, y / scale), optimizer, (fn.metrics.r2(),))
    result = fn.fit(
        task,
        train.arrays,
        key=jax.random.key(0),
        epochs=options.epochs,
        batch_size=32,
        validation=validation.arrays,
    )
    score = fn.evaluate(task, result.state, test.arrays)["r2"]
    print(f"{len(schema.columns)} columns; R² validation {result.metrics['val_r2'][-1]:.3f}, test {score:.3f}")

    # What a prediction needs later: the weights, bit for bit, and the schema, as text beside them.
    file = directory / "weights.safetensors"
    metadata = {"schema": json.dumps(fn.data.schema_to_dict(schema))}
    fn.checkpoints.save_weights(file, result.state.params, metadata=metadata)
    params, _, metadata = fn.checkpoints.load_weights(file)
    schema = fn.data.schema_from_dict(json.loads(metadata["schema"]))
    rows = fn.data.apply_schema(schema, parts[2]._replace(y=None)).x
    predicted = net(params, rows)[:, 0]
    print(f"the loaded model predicts the same: {(predicted == net(result.state.params, rows)[:, 0]).all()}")
    for got, true in zip(predicted[:3], test.y[:3, 0], strict=True):
        print(f"predicted {got:6.1f}, was {true:6.1f}")

    if options.plot:
        draw(options.plot, test.y[:, 0], predicted, options.target)


def write_diabetes(path):
    patients = fn.data.diabetes()
    columns = dict(zip(patients.features, np.asarray(patients.x).T, strict=True))
    fn.data.write_csv(path, columns | {"progression": patients.y[:, 0]})
    return path


def draw(path, true, predicted, name):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4, 4), layout="constrained")
    axes = figure.subplots()
    axes.scatter(true, predicted, s=12, color="#0072B2")
    axes.axline((float(np.mean(true)), float(np.mean(true))), slope=1, color="#D55E00", linestyle="--")
    axes.set(xlabel=f"{name}, as it was", ylabel="predicted", title="test part")
    axes.grid(visible=True, alpha=0.3)
    figure.savefig(path)


if __name__ == "__main__":
    main()
