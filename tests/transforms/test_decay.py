"""Decay of weights, and the masks that choose its leaves."""

import chex
import pytest
from transform_toys import GRADS, PARAMS, update

from fnnet import optimizers, transforms, tree
from fnnet.errors import PathError


def test_decay_masks():
    """A pattern, a list, a tree and a function choose the same leaves; inside freeze a tree still fits."""
    chosen = tree.mask(PARAMS, "*/kernel")
    for mask in ("*/kernel", ["body/kernel", "head/kernel"], chosen, lambda p: tree.mask(p, "*/kernel")):
        updates, _ = update(transforms.add_decayed_weights(0.1, mask), tree.zeros_like(GRADS))
        chex.assert_trees_all_close(updates["body"]["kernel"], 0.1 * PARAMS["body"]["kernel"])
        assert not updates["body"]["bias"].any()
    frozen = transforms.freeze(transforms.add_decayed_weights(0.1, chosen), "body")
    chex.assert_trees_all_close(
        update(frozen, tree.zeros_like(GRADS))[0]["head"]["kernel"], 0.1 * PARAMS["head"]["kernel"]
    )
    with pytest.raises(PathError, match="the mask must have the structure of the parameters"):
        transforms.add_decayed_weights(0.1, {"body": True}).init(PARAMS)


def test_decay_is_decoupled():
    """After the direction, decay is the same for every gradient; before it, Adam's division takes it."""
    decayed, _ = update(optimizers.adamw(0.1, weight_decay=0.5))
    plain, _ = update(optimizers.adam(0.1))
    chex.assert_trees_all_close(tree.add(plain, tree.scale(-0.05, PARAMS)), decayed, rtol=1e-5, atol=1e-7)
