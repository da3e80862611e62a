"""The weights of a torch MLP and a torch CNN, loaded: the same logits.

python examples/load_torch.py [--plot logits.png] [--again]

The files beside this script were saved by torch; with torch installed, --again trains and saves new ones.
"""

import argparse
import pathlib

import jax
import numpy as np

import fnnet as fn

FOLDER = pathlib.Path(__file__).parent / "load_torch"
PADDING = [(1, 1), (1, 1)]  # what torch calls padding=1; "SAME" would be the same here, and is not where stride is 2

NETS = {
    "mlp": fn.serial(fn.dense(16, activation=jax.nn.relu), fn.dense(10)),
    "cnn": fn.serial(
        fn.conv(4, 3, padding=PADDING, bias_init=None),
        fn.batch_norm(),
        jax.nn.relu,
        fn.max_pool(2),
        fn.conv(8, 3, padding=PADDING, activation=jax.nn.relu),
        fn.max_pool(2),
        fn.flatten(),
        fn.dense(10),
    ),
}
LAYOUTS = {
    "mlp": fn.layouts.torch({"dense_0": "1", "dense_1": "3"}),  # ours by name: theirs by name
    "cnn": fn.layouts.torch(flattened={"dense_0": (8, 2, 2)}),  # names found; torch flattens channels first
}


def make_again(images):
    """Make the networks in torch, and save their weights with the logits that they give."""
    import torch
    from safetensors.torch import save_file
    from torch import nn

    torch.manual_seed(0)
    nets = {
        "mlp": nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10)),
        "cnn": nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1, bias=False),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(4, 8, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(32, 10),
        ),
    }
    x, y = torch.from_numpy(images.x.transpose(0, 3, 1, 2).copy()), torch.from_numpy(images.y.astype(np.int64))
    for name, net in nets.items():
        optimizer = torch.optim.Adam(net.parameters(), 0.01)
        for _ in range(60):
            loss = nn.functional.cross_entropy(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            logits = net.eval()(x[:8])
        save_file({**net.state_dict(), "logits": logits}, FOLDER / f"{name}.safetensors")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--plot", metavar="FILE")
    parser.add_argument("--again", action="store_true")
    options = parser.parse_args()

    images = fn.data.digits(images=True)
    if options.again:
        make_again(images)
    pairs = {}
    for name, net in NETS.items():
        x = images.x if name == "cnn" else images.x.reshape(len(images.x), -1)
        flat = fn.layouts.read(FOLDER / f"{name}.safetensors")
        theirs = flat.pop("logits")
        like = jax.eval_shape(net.init, jax.random.key(0), x)
        params, state = fn.layouts.from_layout(flat, LAYOUTS[name], like=like)
        logits = np.asarray(net(params, x, state))
        pairs[name] = theirs, logits[:8]
        difference, accuracy = np.abs(logits[:8] - theirs).max(), (logits.argmax(-1) == images.y).mean()
        print(f"{name}: largest difference of logits {difference:.1e}, accuracy on its training data {accuracy:.3f}")

    if options.plot:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(4, 3.5), layout="constrained")
        axes = figure.subplots()
        for (name, (theirs, ours)), style in zip(pairs.items(), ("o", "+"), strict=True):
            axes.plot(theirs.ravel(), ours.ravel(), style, label=name)
        axes.set(xlabel="torch's logits", ylabel="fnnet's logits", title="digits, weights trained in torch")
        axes.legend()
        figure.savefig(options.plot)


if __name__ == "__main__":
    main()
