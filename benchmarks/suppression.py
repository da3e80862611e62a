"""How to find which boxes stay in non-maximum suppression: row by row, or all rows until nothing changes."""

from __future__ import annotations

import argparse
import statistics
import time
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

import fnnet as fn
from fnnet.boxes import suppression

IMAGES = 8


def by_repetition(ends, valid):
    def turn(carry):
        kept, _ = carry
        after = valid & ~(ends & kept[..., :, None]).any(-2)
        return after, (after != kept).any()

    return jax.lax.while_loop(lambda carry: carry[1], turn, (valid, jnp.array(True)))[0]


def clustered(n, clusters=10):
    """Return boxes as a detector makes them: many around each of a few places, of three classes."""
    random = np.random.default_rng(0)
    places = random.uniform(0, 600, (IMAGES, clusters, 2))
    places = np.take_along_axis(places, random.integers(0, clusters, (IMAGES, n, 1)), 1)
    places = places + 8 * random.normal(size=(IMAGES, n, 2))
    return found(places, random.uniform(40, 80, (IMAGES, n, 2)), random.uniform(size=(IMAGES, n)), n)


def chained(n):
    """Return boxes in a row, by falling score, of which each overlaps the next alone."""
    places = np.broadcast_to(np.stack([np.arange(n) * 2.0, np.zeros(n)], -1), (IMAGES, n, 2))
    scores = np.broadcast_to(np.linspace(1, 0.5, n), (IMAGES, n))
    return found(places, np.full((IMAGES, n, 2), 7.0), scores, n)._replace(classes=jnp.zeros((IMAGES, n), jnp.int32))


def found(places, sides, scores, n):
    boxes = np.concatenate([places, places + sides], -1).astype(np.float32)
    classes = np.random.default_rng(1).integers(0, 3, (IMAGES, n))
    return fn.boxes.Detections(
        jnp.asarray(boxes),
        jnp.asarray(scores.astype(np.float32)),
        jnp.asarray(classes.astype(np.int32)),
        jnp.ones((IMAGES, n), bool),
    )


def compiled(greedy):
    def suppress(detections):
        with mock.patch.object(suppression, "_greedy", greedy):
            # Not as compiled by the package, whose program would be that of the first contestant.
            size = detections.scores.shape[-1]
            return suppression._suppressed.__wrapped__(detections, 0.5, 0.0, fn.boxes.iou, True, size)

    return jax.jit(jax.vmap(suppress))


def seconds(function, x):
    start = time.perf_counter()
    jax.block_until_ready(function(x))
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    rounds = parser.parse_args().rounds
    for n in (100, 1000):
        for case in (clustered, chained):
            x = case(n)
            rows, repeated = compiled(suppression._greedy), compiled(by_repetition)
            assert all(jax.tree.leaves(jax.tree.map(lambda a, b: bool((a == b).all()), rows(x), repeated(x))))
            times = [(seconds(rows, x), seconds(repeated, x)) for _ in range(rounds)]
            ratios = sorted(second / first for first, second in times)
            once = 1e3 * statistics.median(first for first, _ in times)
            spread = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
            print(f"n = {n}, {case.__name__}: row by row {once:.2f} ms; until nothing changes {spread} times that")


if __name__ == "__main__":
    main()
