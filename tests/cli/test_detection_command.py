"""The command line on COCO's JSON: a detector is trained, scored, and draws and writes what it finds."""

from __future__ import annotations

import json
import shutil
import tomllib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import fnnet as fn
from fnnet.cli import detection, runs
from fnnet.cli.detecting import _files
from fnnet.cli.experiments import Settings
from fnnet.cli.images import Reading

pytestmark = pytest.mark.usefixtures("small")

CLASSES, NUMBERS = ("square", "bar"), (7, 3)
TRAIN = ("train", "boxes.json", "--task", "detection", "--images", "pictures", "--mode", "L", "--batch-size", "8")
NAMES = ("AP", "AP50", "AP75", "AP small", "AP medium", "AP large", "AR1", "AR10", "AR100", "AR small", "AR medium",
         "AR large")  # fmt: skip


@pytest.fixture(scope="module")
def small():
    """Let the body called cnn have three layers, which are compiled sooner."""

    def body():
        layers = [fn.conv(features, activation=jax.nn.relu) for features in (8, 16, 32)]
        return fn.serial(layers[0], fn.max_pool(2), layers[1], fn.max_pool(2), layers[2])

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(detection.BODIES, "cnn", detection.Body(body, 4))
        yield


@pytest.mark.parametrize(("name", "body"), tuple(detection.BODIES.items()), ids=tuple(detection.BODIES))
def test_a_cell_has_the_side_that_is_said(name, body):
    """And the features are a grid that the head takes."""
    net = detection.make_detector(body, 3)
    x = jax.ShapeDtypeStruct((2, 5 * body.stride, 3 * body.stride, 1), jnp.float32)
    maps = jax.eval_shape(lambda x: net.apply(*net.init(jax.random.key(0), x), x)[0], x)
    assert maps.heat.shape == (2, 5, 3, 3)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A directory with forty grey images of two sizes, each with a bright square and a bar, and COCO's JSON of them."""
    folder = tmp_path_factory.mktemp("drawn")
    rng = np.random.default_rng(0)
    (folder / "pictures").mkdir()
    files, sizes, objects = [], [], []
    for number in range(40):
        size = ((48, 64), (64, 64))[number % 2]
        pixels = rng.normal(60, 8, size)
        boxes = []
        for height, width, left in ((16, 16, 0), (8, 28, 34)):
            y, x = rng.integers(0, size[0] - height), left + rng.integers(0, 30 - width + 1 if left else 16)
            pixels[y : y + height, x : x + width] += 150
            boxes.append([x, y, x + width, y + height])
        files.append(f"{number:02}.png")
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / "pictures" / files[-1])
        sizes.append(size)
        objects.append((np.array(boxes, np.float64), np.array([0, 1])))
    ids = {"image_ids": [100 + 3 * n for n in range(40)], "category_ids": NUMBERS}
    fn.data.write_coco(folder / "boxes.json", fn.data.annotate(files, sizes, objects, CLASSES, **ids))
    return folder


@pytest.fixture(scope="module")
def begun(tmp_path_factory, small):
    """The run of a detector that learnt nothing."""
    settings = Settings("boxes.json", net="cnn", reading=Reading((32, 32), "L"), task="detection", images="pictures")
    detector = detection.Detector(settings, CLASSES, NUMBERS, 4, {}, {}, {"loss": 1.0})
    params, state = jax.jit(detector.net.init)(jax.random.key(0), jnp.zeros((1, *detector.row)))
    folder = tmp_path_factory.mktemp("begun")
    history = {"epoch": np.array([1.0]), "loss": np.array([1.0])}
    runs.save_detector(folder, detector._replace(params=params, state=state), history)
    return folder


@pytest.fixture
def pictures(drawn, tmp_path):
    """``boxes.json`` and the folder ``pictures`` that it is of."""
    shutil.copytree(drawn, tmp_path, dirs_exist_ok=True)
    return tmp_path / "pictures"


@pytest.fixture
def untrained(pictures, begun, tmp_path):
    """The run of a detector that learnt nothing, in ``run``."""
    return shutil.copytree(begun, tmp_path / "run")


def table_of(out):
    """Return the numbers of a printed table by their names, nan for a dash."""
    rows = [[cell.strip() for cell in line.split("│")[1:3]] for line in out.splitlines() if line.startswith("│")]
    return {name: float("nan") if value == "–" else float(value) for name, value in rows}


def words_of(err):
    return " ".join(err.replace("│", " ").split())


@pytest.mark.usefixtures("pictures")
@pytest.mark.row("detection")
def test_boxes_are_learnt_scored_drawn_and_written(fnnet, tmp_path):
    """The printed numbers are COCO's of the results that are written, in the pixels of the images as they are."""
    options = ("--size", "32", "--epochs", "30", "--learning-rate", "0.01", "--flip", "--out", "run")
    code, out, err = fnnet(*TRAIN, *options)
    assert code == 0, err
    assert "test metrics (6 examples)" in out
    tested = table_of(out)
    assert list(tested) == ["loss", "AP", "AP50", "AP75", "AR100"]
    config = tomllib.loads((tmp_path / "run" / "config.toml").read_text())
    assert config["settings"]["reading"] == {"size": [32, 32], "mode": "L", "skip_bad": False}
    assert config["detector"] == {"classes": list(CLASSES), "category_ids": list(NUMBERS), "stride": 4}

    code, out, err = fnnet("evaluate", "run", "boxes.json", "--images", "pictures", "--part", "test")
    assert (code, err) == (0, "")
    assert "test (6 images)" in out
    of_test = table_of(out)
    assert {name: of_test[name] for name in ("AP", "AP50", "AP75", "AR100")} == {
        name: value for name, value in tested.items() if name != "loss"
    }
    _, out, _ = fnnet("evaluate", "run", "boxes.json", "--images", "pictures")
    printed = table_of(out)
    assert tuple(printed) == NAMES
    assert printed["AP50"] > 0.5

    code, out, err = fnnet("predict", "run", "boxes.json", "--images", "pictures", "--out", "found")
    assert (code, err) == (0, "")
    there = fn.data.read_coco(tmp_path / "boxes.json")
    found = fn.data.read_coco_results(tmp_path / "found" / "results.json", there)
    assert_within_images(found, there)
    metric = fn.metrics.mean_average_precision(2)
    acc = metric.init()
    for one, objects, number in zip(found, there.objects, there.image_ids, strict=True):
        acc = metric.update(acc, one, objects, image=number)
    want = {name.replace("_", " "): value for name, value in metric.compute(acc).items() if np.ndim(value) == 0}
    np.testing.assert_allclose(list(printed.values()), [want[name] for name in NAMES], atol=6e-5)
    assert_drawn(tmp_path / "found" / "overlays", tmp_path / "pictures", found, least=0.3)

    code, out, err = fnnet("predict", "run", "pictures", "--out", "again", "--score", "0")
    assert (code, err) == (0, "")
    numbered = fn.data.read_coco(tmp_path / "again" / "images.json")
    assert (numbered.classes, numbered.category_ids, numbered.image_ids) == (CLASSES, NUMBERS, tuple(range(1, 41)))
    again = fn.data.read_coco_results(tmp_path / "again" / "results.json", numbered)
    for one, other in zip(found, again, strict=True):
        np.testing.assert_array_equal(one.boxes, other.boxes)
    assert f"{sum(len(one.boxes) for one in again)} boxes of a score of at least 0" in out


def assert_within_images(found, annotations):
    assert sum(len(one.boxes) for one in found) >= 40
    for one, (height, width) in zip(found, annotations.sizes, strict=True):
        boxes = np.asarray(one.boxes)
        assert (boxes >= 0).all()
        assert (boxes <= [[width + 1e-9, height + 1e-9] * 2]).all()
        assert (boxes[:, 2:] > boxes[:, :2]).all()


def assert_drawn(overlays, pictures, found, least):
    """An overlay is the image, six times as large, and differs from it if there is something to be drawn."""
    assert sorted(path.name for path in overlays.iterdir()) == sorted(path.name for path in pictures.iterdir())
    for path, one in zip(sorted(pictures.iterdir()), found, strict=True):
        plain = Image.open(path).convert("RGB")
        drawn = Image.open(overlays / path.name)
        assert drawn.size == (plain.width * 6, plain.height * 6)
        large = np.asarray(plain.resize(drawn.size, Image.Resampling.NEAREST))
        differs = np.asarray(drawn) != large
        assert differs.any() == (np.asarray(one.scores) >= least).any()
        assert differs.mean() < 0.5


@pytest.mark.usefixtures("untrained")
def test_classes_are_told_by_their_names(fnnet, tmp_path):
    """Another file may have the categories in another order and with other numbers, which the results then have."""
    whole = json.loads((tmp_path / "boxes.json").read_text())
    whole["categories"] = [{"id": 1, "name": "bar"}, {"id": 2, "name": "square"}]
    for entry in whole["annotations"]:
        entry["category_id"] = {7: 2, 3: 1}[entry["category_id"]]
    (tmp_path / "other.json").write_text(json.dumps(whole))
    tables = [fnnet("evaluate", "run", file, "--images", "pictures")[1] for file in ("boxes.json", "other.json")]
    np.testing.assert_array_equal(*(list(table_of(table).values()) for table in tables))
    for file, out in (("boxes.json", "a"), ("other.json", "b")):
        assert fnnet("predict", "run", file, "--images", "pictures", "--out", out)[0] == 0
    one, other = (json.loads((tmp_path / out / "results.json").read_text()) for out in "ab")
    assert {entry["category_id"] for entry in one} <= set(NUMBERS)
    assert [{7: 2, 3: 1}[entry["category_id"]] for entry in one] == [entry["category_id"] for entry in other]
    whole["categories"][0]["name"] = "beam"
    (tmp_path / "other.json").write_text(json.dumps(whole))
    code, _, err = fnnet("evaluate", "run", "other.json", "--images", "pictures")
    assert code == 1
    assert "has other categories than the run was trained on: no 'bar' and also 'beam'" in err


@pytest.mark.usefixtures("untrained")
def test_images_that_cannot_be_used_are_named_or_left_out(fnnet, pictures, tmp_path):
    (pictures / "05.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (pictures / "07.png").unlink()
    command = ("evaluate", "run", "boxes.json", "--images", "pictures")
    code, _, err = fnnet(*command)
    assert code == 1
    assert "boxes.json (images[7].file_name): there is no file '07.png' in pictures" in err
    config = tmp_path / "run" / "config.toml"
    config.write_text(config.read_text().replace("skip_bad = false", "skip_bad = true"))
    code, out, err = fnnet(*command)
    assert code == 0
    assert err.startswith("warning: left out 4 images and objects:\n")  # an image, its two objects, and a bad file
    assert "38 images" in out


@pytest.mark.usefixtures("untrained")
def test_a_detector_is_summarised_and_has_no_doctor(fnnet):
    code, out, _ = fnnet("summary", "run", "--batch-size", "2")
    assert code == 0
    assert "(2, 8, 8, 32)" in out
    code, _, err = fnnet("doctor", "run", "iris")
    assert (code, "run: is the run of a detector" in err) == (1, True)


def test_a_damaged_run_is_refused(fnnet, untrained):
    config = untrained / "config.toml"
    whole = config.read_text()
    for text in (
        whole.replace("stride = 4", "stride = 8"),
        whole.replace('net = "cnn"', 'net = "lenet"'),
        whole.replace('    "bar",\n', ""),
        whole.replace('mode = "L"', 'mode = "CMYK"'),
    ):
        config.write_text(text)
        code, _, err = fnnet("evaluate", "run", "boxes.json", "--images", "pictures")
        assert (code, "wrong entry" in err) == (1, True), err
    config.write_text(whole.replace('mode = "L"', 'mode = "RGB"'))
    code, _, err = fnnet("evaluate", "run", "boxes.json", "--images", "pictures")
    assert (code, "weights are not of the network" in err) == (1, True)


REFUSED = [
    (("--target", "x"), "--target: has no effect"),
    (("--regression",), "--regression: has no effect"),
    (("--missing", "error"), "--missing: has no effect"),
    (("--hidden", "128"), "--hidden: has no effect"),
    (("--activation", "relu"), "--activation: has no effect"),
    (("--mixup", "0.2"), "--mixup: mixes classes, and objects cannot be mixed"),
]


@pytest.mark.usefixtures("pictures")
@pytest.mark.parametrize(("option", "message"), REFUSED, ids=[option[0] for option, _ in REFUSED])
def test_options_without_effect_are_refused(fnnet, tmp_path, option, message):
    """Also where they say what is the default."""
    code, _, err = fnnet(*TRAIN, "--size", "32", *option, "--out", "run")
    assert code == 2
    assert message in words_of(err)
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("pictures")
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (TRAIN, 1, "boxes.json: has images of several sizes, 48x64 and 64x64 (height x width) Fix: pass --size."),
        ((*TRAIN, "--size", "30"), 1, "sides are multiples of 4, got 30x30 Fix: pass --size 32x32"),
        ((*TRAIN, "--size", "32", "--net", "resnet18", "--batch-size", "99"), 1, "batch_size of at most the 28"),
        ((*TRAIN, "--size", "36", "--net", "resnet18"), 1, "sides are multiples of 8, got 36x36"),
        ((*TRAIN, "--net", "dense"), 1, "--net: there is no detector with the body dense"),
        (("train", "boxes.json", "--task", "detection"), 2, "--images: --task detection needs the folder"),
        (("train", "boxes.json", "--task", "detection", "--images", "no"), 2, "does not exist"),
        (("train", "boxes.json", "--images", "pictures"), 2, "--images: has no effect without --task detection"),
        (
            ("train", "boxes.json"),
            1,
            "boxes.json: is JSON, which is no table of classes or numbers Fix: if it is COCO's",
        ),
        (("train", "empty.json", *TRAIN[2:], "--size", "32"), 1, "empty.json: has no boxes in its 40 images"),
        (("train", "none.json", *TRAIN[2:], "--size", "32"), 1, "none.json: has no images"),
        (("train", "plain.json", *TRAIN[2:], "--size", "32"), 1, "plain.json"),
        (("train", "other.json", *TRAIN[2:], "--size", "32"), 1, "other.json"),
        (("train", "boxes.json", "--task", "detection", "--images", "bare"), 1, "there is no file '00.png' in bare"),
        (("evaluate", "table", "boxes.json", "--images", "pictures"), 1, "table: is not a run directory"),
    ],
)
def test_mistakes_in_training_get_one_clear_line(fnnet, tmp_path, arguments, code, message):
    whole = json.loads((tmp_path / "boxes.json").read_text())
    (tmp_path / "empty.json").write_text(json.dumps(whole | {"annotations": []}))
    (tmp_path / "none.json").write_text(json.dumps(whole | {"annotations": [], "images": []}))
    (tmp_path / "plain.json").write_text("boxes")
    (tmp_path / "other.json").write_text('{"type": "FeatureCollection"}')
    (tmp_path / "bare").mkdir()
    got, _, err = fnnet(*arguments)
    assert got == code
    assert message in words_of(err)
    assert not (tmp_path / "runs").exists()


@pytest.mark.usefixtures("untrained")
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("evaluate", "run", "boxes.json"), 2, "run is a detector, which needs the folder"),
        (("evaluate", "table", "boxes.json", "--images", "pictures"), 1, "table: is the run of no detector"),
        (("predict", "table", "boxes.json", "--images", "pictures", "--out", "x"), 1, "is the run of no detector"),
        (("predict", "table", "iris", "--score", "0.3"), 2, "--score: is for detectors, and table is none"),
        (("predict", "table", "iris", "wine"), 2, "expected one, got 2"),
        (("predict", "run", "pictures"), 2, "a detector needs a new directory"),
        (("predict", "run", "pictures", "--out", "pictures"), 2, "pictures holds other files"),
        (("predict", "run", "pictures", "--out", "boxes.json"), 2, "boxes.json is a file"),
        (("predict", "run", "boxes.json", "--out", "x"), 1, "is JSON, of which the images are not known"),
        (("predict", "run", "bare", "--out", "x"), 1, "bare: holds no image files"),
        (("predict", "run", "pictures/99.png", "--out", "x"), 1, "99.png: cannot be read"),
        (("predict", "run", "a.json", "b.json", "--images", "pictures", "--out", "x"), 2, "is of one JSON file, got 2"),
    ],
)
def test_mistakes_in_use_get_one_clear_line(fnnet, tmp_path, arguments, code, message):
    (tmp_path / "bare").mkdir()
    (tmp_path / "table").mkdir()
    (tmp_path / "table" / "config.toml").write_text('format = 1\n[settings]\nsource = "iris"\n')
    got, _, err = fnnet(*arguments)
    assert got == code
    assert message in words_of(err)
    assert not (tmp_path / "x").exists()


def test_files_of_several_folders_have_the_names_that_tell_them_apart(fnnet, tmp_path):
    """``fnnet`` is for its empty directory."""
    root, paths = _files(["b/1.png", "a/1.png", "./a/1.png"])
    assert root == tmp_path
    assert [path.relative_to(root).as_posix() for path in paths] == ["a/1.png", "b/1.png"]


@pytest.mark.usefixtures("untrained")
def test_overlays_of_one_name_do_not_replace_each_other(fnnet, pictures, tmp_path):
    Image.open(pictures / "00.png").save(tmp_path / "pictures" / "00.bmp")
    assert fnnet("predict", "run", pictures / "00.png", pictures / "00.bmp", "--out", "x")[0] == 0
    assert sorted(path.name for path in (tmp_path / "x" / "overlays").iterdir()) == ["00.bmp.png", "00.png.png"]
