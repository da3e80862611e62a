"""What torchvision says of pairs of boxes, kept in tests/boxes/torchvision.json for the tests: made by this script.

Needs torch and torchvision; they compute in float64, on the CPU.
"""

from __future__ import annotations

import json
import pathlib

import numpy as np
import torch
import torchvision
from torchvision import ops

KEPT = pathlib.Path(__file__).parents[1] / "tests" / "boxes" / "torchvision.json"
SIMILARITIES = {
    "iou": ops.box_iou,
    "giou": ops.generalized_box_iou,
    "diou": ops.distance_box_iou,
    "ciou": ops.complete_box_iou,
}
LOSSES = {
    "giou": ops.generalized_box_iou_loss,
    "diou": ops.distance_box_iou_loss,
    "ciou": ops.complete_box_iou_loss,
}
EDGES = [  # of which a gradient is a matter of taste, or the ε of torchvision tells
    ([0, 0, 2, 2], [2, 0, 4, 2]),  # touching
    ([0, 0, 2, 2], [2, 2, 4, 4]),  # at a corner
    ([0, 0, 2, 2], [5, 7, 6, 9]),  # apart
    ([1, 2, 3, 5], [1, 2, 3, 5]),  # identical
    ([0, 0, 9, 9], [2, 3, 4, 5]),  # one in the other
    ([0, 0, 4, 2], [0, 0, 4, 5]),  # three edges shared
    ([1, 0, 1, 4], [0, 0, 4, 4]),  # without width
    ([10000, 10000, 10010, 10020], [10003, 10001, 10011, 10018]),  # far from 0
    ([0, 0, 1, 1], [9999, 9999, 10000, 10000]),  # far apart
]


def drawn(random, n, scale):
    corner, sides = random.uniform(0, 0.7 * scale, (n, 2)), random.uniform(0.1 * scale, scale, (n, 2))
    return np.concatenate([corner, corner + sides], -1).astype(np.float32).astype(np.float64)


def gradient(loss, a, b):
    x = torch.tensor(a, requires_grad=True)
    loss(x, torch.tensor(b)).sum().backward()
    return x.grad.numpy()


def main():
    random = np.random.default_rng(0)
    a = np.concatenate([drawn(random, 14, 4.0), drawn(random, 10, 200.0), np.array([a for a, _ in EDGES], float)])
    b = np.concatenate([drawn(random, 14, 4.0), drawn(random, 10, 200.0), np.array([b for _, b in EDGES], float)])
    many = drawn(random, 60, 60.0)
    scores, classes = np.round(random.uniform(size=60), 6), random.integers(0, 3, 60)
    arrays = (torch.tensor(many), torch.tensor(scores))
    kept = {
        "iou > 0.5": ops.nms(*arrays, 0.5),
        "iou > 0.3, by class": ops.batched_nms(*arrays, torch.tensor(classes), 0.3),
    }
    parts = {
        "made": f"by benchmarks/peer_boxes.py, in float64: torch {torch.__version__.partition('+')[0]}, "
        f"torchvision {torchvision.__version__.partition('+')[0]}, numpy {np.__version__}",
        "edges": len(EDGES),
        "a": a.tolist(),
        "b": b.tolist(),
        **{
            name: similarity(*map(torch.tensor, (a, b))).diagonal().tolist()
            for name, similarity in SIMILARITIES.items()
        },
        **{f"{name} loss": loss(*map(torch.tensor, (a, b))).tolist() for name, loss in LOSSES.items()},
        **{f"{name} gradient": gradient(loss, a, b).tolist() for name, loss in LOSSES.items()},
        "boxes": many.tolist(),
        "scores": scores.tolist(),
        "classes": classes.tolist(),
        **{name: indices.tolist() for name, indices in kept.items()},
    }
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in parts.items()]
    KEPT.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    print(parts["made"])


if __name__ == "__main__":
    main()
