"""What follows an image is told apart, or said; mistakes get an error that says where, what was got, and what to do."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from augmentation_toys import ALL, KEY, H, N, W, batch, photographs, targets

from fnnet import augmentation
from fnnet.errors import DataError, DtypeError, KeyMissingError, ShapeError

pytestmark = pytest.mark.types

GEOMETRIC = {
    "flip": augmentation.flip,
    "crop": augmentation.crop,
    "resized_crop": lambda **options: augmentation.resized_crop(8, **options),
    "rotation": lambda **options: augmentation.rotation(5, **options),
    "affine": augmentation.affine,
}


def traced(transform, *args):
    """Return what `transform` would, of shapes alone: it raises what it would."""
    return jax.eval_shape(transform, *args)


@pytest.mark.parametrize("name", ALL)
def test_bad_batches(name):
    transform, (x, y, weight) = ALL[name](), batch(name)
    with pytest.raises(DataError, match=r"expected a batch \(x, y\)"):
        traced(transform, KEY, x)
    with pytest.raises(DataError, match="a tuple of 4"):
        traced(transform, KEY, (x, y, weight, weight))
    where = name.split()[0]
    with pytest.raises(ShapeError, match=rf"{where}: the images must have shape \(n, H, W, C\), got \(6, 24, 32\)"):
        traced(transform, KEY, (x[..., 0], y))
    with pytest.raises(DtypeError, match="the images must be one array, got list"):
        traced(transform, KEY, ([x], y))
    with pytest.raises(KeyMissingError, match="needs a random key"):
        traced(transform, 3, (x, y))
    whole = ((x * 255).astype(jnp.uint8), y)
    if where in ("flip", "crop", "erasing", "cutmix"):
        assert traced(transform, KEY, whole)[0].dtype == jnp.uint8
    else:
        with pytest.raises(DtypeError, match=f"{where}: the images must be real floating-point, got uint8"):
            traced(transform, KEY, whole)


@pytest.mark.parametrize("name", GEOMETRIC)
def test_bad_targets(name):
    """What cannot be told, or is of another size, is refused, with a word on how to say it."""
    x, y, objects = photographs(), targets(), targets()["objects"]
    transform = GEOMETRIC[name]()
    maps = np.ones((N, H, W), np.float32)
    cases = [
        (DtypeError, "may be a mask or not", maps),
        (DtypeError, "may be a mask or not", y["mask"][..., None]),
        (DtypeError, r"y\['depth'\] of float32", {"depth": maps}),
        (DtypeError, "boxes go into fn.boxes.Objects", objects.boxes),
        (ShapeError, r"y must have shape \(6, 24, 32\), got \(6, 24, 31\)", y["mask"][:, :, 1:]),
        (ShapeError, r"y must have shape \(6, 24, 32\), got \(5, 24, 32\)", y["mask"][1:]),
        (DataError, "y must be an array, fn.boxes.Objects", [y["label"]]),
        (ShapeError, r"the boxes must have shape \(6, n, 4\)", objects._replace(boxes=objects.boxes[:2])),
        (ShapeError, r"valid must have the shape \(6, 3\)", objects._replace(valid=objects.valid[:, :2])),
        (DtypeError, "boxes must be real floating", objects._replace(boxes=objects.boxes.astype(jnp.int32))),
    ]
    for error, match, target in cases:
        with pytest.raises(error, match=match):
            traced(transform, KEY, (x, target))
    with pytest.raises(ShapeError, match="weight must have shape"):
        traced(transform, KEY, (x, y["mask"], jnp.ones((N, H, 5))))
    with pytest.raises(DataError, match="has no entry 'dept'"):
        traced(GEOMETRIC[name](target={"dept": "mask"}), KEY, (x, {"depth": maps}))
    with pytest.raises(DataError, match="target is a dict, and y is"):
        traced(GEOMETRIC[name](target={"depth": "mask"}), KEY, (x, maps))


def test_targets_may_be_named():
    """A map follows as a mask does, or stays, by name; what is not named is told as ever."""
    x, y = jnp.asarray(photographs()), targets()
    maps = {"depth": x[..., 0], "rows": x[:, :3], "mask": y["mask"], "inner": {"label": y["label"]}}
    mirror = jax.jit(augmentation.flip(probability=1, target={"depth": "mask", "rows": "fixed"}))
    flipped, moved = mirror(KEY, (x, maps))
    assert (moved["depth"] == flipped[..., 0]).all()
    assert (moved["rows"] == maps["rows"]).all()
    assert (moved["mask"] == maps["mask"][:, :, ::-1]).all()
    assert (moved["inner"]["label"] == y["label"]).all()
    assert (augmentation.flip(probability=1, target="mask")(KEY, (x, x))[1] == flipped).all()
    # Weights of places go with their places.
    _, _, weight = augmentation.crop(padding=4)(KEY, (x, None, jnp.ones((N, H, W))))
    _, mask = augmentation.crop(padding=4, mask_fill=-1)(KEY, (x, jnp.ones((N, H, W), int)))
    assert ((weight == 0) == (mask == -1)).all()
    assert (weight == 0).any()


BAD = {
    "flip target": (lambda: augmentation.flip(target="masks"), "flip: target must be"),
    "rotation target": (lambda: augmentation.rotation(5, target={"a": "masks"}), "rotation: target must be"),
    "flip axis": (lambda: augmentation.flip("both"), "axis must be"),
    "flip probability": (lambda: augmentation.flip(probability=1.5), r"probability must be a number in \[0, 1\]"),
    "erasing probability": (lambda: augmentation.erasing(probability=-0.1), "probability"),
    "erasing area": (lambda: augmentation.erasing(area=(0.5, 2)), "area must be within 0 … 1"),
    "erasing ratio": (lambda: augmentation.erasing(ratio=(0, 1)), "ratio must be a pair"),
    "crop size": (lambda: augmentation.crop(2.5), "size must be a whole number"),
    "crop padding": (lambda: augmentation.crop(padding=-1), "padding must be at least 0"),
    "crop visible": (lambda: augmentation.crop(visible=2), "visible must be"),
    "resized_crop area": (lambda: augmentation.resized_crop(8, area=0.5), "area must be a pair"),
    "rotation": (lambda: augmentation.rotation(-5), "degrees must be a number of at least 0, or a pair"),
    "rotation order": (lambda: augmentation.rotation((5, -5)), "in order"),
    "rotation nan": (lambda: augmentation.rotation(float("nan")), "degrees must be"),
    "rotation text": (lambda: augmentation.rotation("9"), "degrees must be"),
    "affine scale": (lambda: augmentation.affine(scale=1.0), "factors of scale must be above 0"),
    "affine shear": (lambda: augmentation.affine(shear=90), "range of shear must be within -89 … 89"),
    "color hue": (lambda: augmentation.color(hue=0.6), "range of hue must be within"),
    "color brightness": (lambda: augmentation.color(brightness=(-0.1, 1)), "brightness must be at least 0"),
    "mixup alpha": (lambda: augmentation.mixup(0.0), "alpha must be a number above 0"),
    "cutmix classes": (lambda: augmentation.cutmix(classes=1), "classes must be at least 2"),
}


@pytest.mark.parametrize(("make", "match"), BAD.values(), ids=BAD)
@pytest.mark.untyped
def test_bad_options(make, match):
    with pytest.raises(ValueError, match=match):
        make()


def test_fills_must_fit():
    """Integers are filled with integers that they can hold, which is known once the batch is seen."""
    x = jnp.ones((2, 8, 8, 3), jnp.uint8)
    for fill in (0.5, -1, 256):
        with pytest.raises(ValueError, match="fill must be a whole number that uint8 can hold"):
            traced(augmentation.crop(padding=1, fill=fill), KEY, (x, None))
        with pytest.raises(ValueError, match="erasing: fill must be a whole number that uint8"):
            traced(augmentation.erasing(fill=fill), KEY, (x, None))
    with pytest.raises(ValueError, match="mask_fill must be a whole number that uint8"):
        traced(augmentation.crop(padding=1, mask_fill=-1), KEY, (x, x[..., 0]))
    with pytest.raises(ShapeError, match=r"crop: a window of \(9, 9\) must fit into images of \(8, 8\)"):
        traced(augmentation.crop(9), KEY, (x, None))
    with pytest.raises(ShapeError, match="three channels"):
        traced(augmentation.color(hue=0.1), KEY, (jnp.ones((2, 8, 8, 1)), None))


@pytest.mark.untyped
def test_a_chain_is_of_functions():
    with pytest.raises(TypeError, match="chain: expected functions"):
        augmentation.chain(augmentation.flip(), 3)
