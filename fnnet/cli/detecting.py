"""What ``fnnet train``, ``evaluate`` and ``predict`` do where boxes are learnt: detectors and COCO's JSON."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import typer

from fnnet import callbacks, data, sampling, training
from fnnet.boxes import Detections
from fnnet.cli import detection, images, runs
from fnnet.cli.detection import AnnotatedImages, Detector
from fnnet.cli.experiments import Settings, trained
from fnnet.cli.printing import print_table, warn
from fnnet.data import Annotations
from fnnet.data.images.drawing import write_overlay
from fnnet.errors import DataError


def train(
    settings: Settings, folder: Path, directory: Path, listeners: Sequence[callbacks.Callback]
) -> tuple[dict[str, float], int, callbacks.Fit]:
    """Train a detector on the images in `folder` and save the run.

    Returns its test metrics, the number of images in the test part, and how it went.

    Raises: DataError for a `--net` that no detector has, and annotations without boxes; as ``detection.read``.
    """
    if settings.net not in detection.BODIES:
        fix = f"choose one of {', '.join(detection.BODIES)}."
        raise DataError("--net", f"there is no detector with the body {settings.net}", fix)
    stride = detection.BODIES[settings.net].stride
    annotated = detection.read(settings.source, folder, settings.reading, stride, warn)
    detection.check_boxes(settings.source, annotated.annotations)
    settings = settings._replace(reading=settings.reading._replace(size=annotated.x.shape[1:3]))
    part, watched, tested = detection.split(annotated, settings.seed)
    rows = len(part.x)
    sampling.check_batch_size(rows, settings.batch_size, where="the training part")
    classes, numbers = annotated.annotations.classes, annotated.annotations.category_ids
    detector = Detector(settings, classes, numbers, stride, {}, {}, {})
    task = detection.make_task(settings, detector.net, stride, settings.epochs * (rows // settings.batch_size))
    changes = images.transform(settings.changes, None)
    with runs.place(directory):
        result = trained(settings, task, _arrays(part), _arrays(watched), listeners, changes)
        detector = detector._replace(params=result.state.params, state=result.state.state)
        loss = float(training.evaluate(task, result.state, _arrays(tested))["loss"])
        detector = detector._replace(test={"loss": loss} | detection.main_numbers(_scores(detector, tested)))
        runs.save_detector(directory, detector, result.metrics)
    return detector.test, len(tested.x), result


def evaluate(directory: Path, source: str, folder: Path, part: str) -> None:
    """Print COCO's table of a saved detector on the images of `source`, or on the part that training set aside."""
    detector = runs.load_detector(directory)
    annotated = _read_again(detector, source, folder)
    detection.check_boxes(source, annotated.annotations)
    if part == "test":
        annotated = detection.split(annotated, detector.settings.seed)[2]
    print_table(f"{directory} on {source}, {part} ({len(annotated.x)} images)", _scores(detector, annotated))


def predict(directory: Path, sources: Sequence[str], folder: Path | None, out: Path, least: float) -> None:
    """Write what a saved detector finds: ``results.json``, and ``overlays/`` with boxes of a score of `least` or more.

    `sources`: image files, a folder of them, or with `folder` COCO's JSON of the images there, whose numbers are then
    those of the results; else ``images.json`` says which number an image has.
    """
    detector = runs.load_detector(directory)
    if folder is not None:
        annotated = _read_again(detector, sources[0], folder)
        root, annotations, x = folder, annotated.annotations, annotated.x
    else:
        root, annotations, x = _read_images(detector, sources)
    found = detection.find(detector, x, annotations.sizes)
    out.mkdir(parents=True, exist_ok=True)
    data.write_coco_results(out / "results.json", annotations, found)
    if folder is None:
        data.write_coco(out / "images.json", annotations)
    drawn = _draw(out / "overlays", root, annotations, found, least)
    count = len(annotations.files)
    typer.echo(f"saved to {out}: {', '.join(sorted(path.name for path in out.iterdir()))}")
    typer.echo(f"{drawn} boxes of a score of at least {least:g} are drawn in {count} images")


def _arrays(annotated: AnnotatedImages) -> tuple[Any, Any]:
    return annotated.x, annotated.objects


def _scores(detector: Detector, annotated: AnnotatedImages) -> dict[str, float]:
    found = detection.find(detector, annotated.x, annotated.annotations.sizes)
    return detection.score(found, annotated.annotations)


def _read_again(detector: Detector, source: str, folder: Path) -> AnnotatedImages:
    """Return the annotated images as those that the run learnt from."""
    annotated = detection.read(source, folder, detector.settings.reading, detector.stride, warn)
    return detection.with_classes(source, annotated, detector.classes)


def _read_images(detector: Detector, sources: Sequence[str]) -> tuple[Path, Annotations, np.ndarray]:
    """Return the folder that image files lie in, annotations without objects of them, and the images."""
    root, paths = _files(sources)
    reading = detector.settings.reading
    mode, bad = (reading.mode, "skip" if reading.skip_bad else "raise")
    read = data.read_images(paths, size=detector.size, mode=mode, resize="pad", bad=bad)  # type: ignore[arg-type]
    if read.skipped:
        warn(images.omission(read.skipped, f"of {len(paths)} images"))
    names = [paths[number].relative_to(root).as_posix() for number in read.kept]
    nothing = [(np.zeros((0, 4)), np.zeros(0, np.int32))] * len(names)
    said = data.annotate(names, read.sizes, nothing, detector.classes, category_ids=detector.category_ids)
    return root, said, read.x


def _files(sources: Sequence[str]) -> tuple[Path, list[Path]]:
    """Return image files, and the folder that they all lie in; of one folder those that can be seen in it.

    Raises: DataError for a folder without files, or a JSON file, which needs --images.
    """
    for source in sources:
        if source.endswith((".json", ".json.gz")):
            fix = "pass --images with the folder of its images, or the images themselves."
            raise DataError(source, "is JSON, of which the images are not known", fix)
    if len(sources) == 1 and Path(sources[0]).is_dir():
        root = Path(sources[0])
        paths = sorted(path for path in root.iterdir() if path.is_file() and not path.name.startswith("."))
        if not paths:
            raise DataError(sources[0], "holds no image files", "pass the folder that the images themselves lie in.")
        return root, paths
    paths = sorted({Path(os.path.abspath(source)) for source in sources})
    return Path(os.path.commonpath([path.parent for path in paths])), paths


def _draw(out: Path, root: Path, annotations: Annotations, found: Sequence[Detections], least: float) -> int:
    """Write an overlay of each image, and return how many boxes were drawn."""
    names = [Path(name).with_suffix(".png") for name in annotations.files]
    if len(set(names)) < len(names):  # a.png and a.jpg
        names = [Path(f"{name}.png") for name in annotations.files]
    drawn = 0
    for name, file, found_there in zip(names, annotations.files, found, strict=True):
        shown = found_there.scores >= least
        there = Detections._make(np.asarray(field)[np.asarray(shown)] for field in found_there)
        words = [
            f"{annotations.classes[label]} {score:.2f}"
            for label, score in zip(there.classes, there.scores, strict=True)
        ]
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        write_overlay(out / name, root / file, np.asarray(there.boxes), words, np.asarray(there.classes))
        drawn += len(words)
    return drawn
