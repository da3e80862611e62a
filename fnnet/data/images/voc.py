"""PASCAL VOC's XML of objects in images (Everingham et al. 2010): one file an image; entities are never expanded."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree  # to write with alone: what is read goes through defusedxml

import numpy as np

from fnnet.boxes import Objects
from fnnet.data.images.annotations import Annotations, box_problem, check_once, cut_box, true_objects
from fnnet.data.images.coco import check_annotations
from fnnet.data.images.folders import check_name, within
from fnnet.data.images.placing import Size
from fnnet.data.images.reading import Bad, FilePath, check_bad, one_line
from fnnet.data.raw import read_bytes
from fnnet.errors import DataError, FnnetError, ReadError, WriteError, inside, near_matches, needs_extra
from fnnet.writing import replacing

MOST_BYTES = 2**24
"""A longer file of one image is refused, unless more is asked for."""

_NUMBER = re.compile(r"[+-]?(\d{1,40}(\.\d{0,400})?|\.\d{1,400})([eE][+-]?\d{1,3})?", re.ASCII)
_UNWRITABLE = re.compile(r"[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|^\s|\s$|[\t\n]")
_LONGEST_SIDE = 2**20
_DIGITS = 420
_SIDES = ("xmin", "ymin", "xmax", "ymax")


class _Object(NamedTuple):
    box: tuple[float, ...]
    name: str
    difficult: bool


class _Image(NamedTuple):
    file: str
    size: Size
    objects: list[_Object]


def read_voc(
    path: FilePath,
    *,
    classes: Sequence[str] | None = None,
    images: FilePath | None = None,
    bad: Bad = "raise",
    limit: int = MOST_BYTES,
) -> Annotations:
    """Read PASCAL VOC's XML of objects: one file, or all ``.xml`` of a folder in the order of their names.

    VOC counts pixels from 1 and its last is within the box: ``xmin, ymin, xmax, ymax`` become ``xyxy`` (xmin - 1,
    ymin - 1, xmax, ymax). ``difficult`` is `ignore`; ``pose``, ``truncated`` and ``part`` are left out. A box that
    reaches outside its image by at most a pixel is cut. `classes`: the names of the labels 0, 1, ..., by default those
    that are there, in alphabetical order. `images`: the folder in which each file must be there.

    `bad`: an image or an object that cannot be used is an error, or left out (``"skip"``) and named in ``skipped``.
    `limit`: the bytes of a file at most. Files that declare a document type are refused, and so all entities.

    Raises: ReadError for what cannot be read, is not XML or not VOC's; DataError for a box that is inverted, without
    area or outside its image, a class that is none of `classes`, a number that is none, and a file's name that
    leaves its folder; ExtraMissingError without defusedxml.

    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> one = (np.array([[1.0, 2.0, 4.0, 6.0]]), np.array([1]))
    >>> fn.data.write_voc(folder, fn.data.annotate(["a.png"], (8, 8), [one], ["cat", "dog"]))
    >>> read_voc(folder / "a.xml", classes=["cat", "dog"]).objects[0].boxes
    array([[1., 2., 4., 6.]])
    """
    where = "read_voc"
    check_bad(where, bad)
    with needs_extra(where, "images"):
        import defusedxml.ElementTree  # noqa: F401
    names = None if classes is None else tuple(str(name) for name in classes)
    if names is not None:
        check_once(where, "classes", names)
    path, folder = Path(path), None if images is None else Path(images)
    paths = _files(path)
    skipped: list[str] = []
    found: list[_Image] = []
    seen: set[str] = set()
    for one in paths:
        try:
            root = _parsed(one, limit)
            with inside(str(one)):
                image, left_out = _image(root, str(one), names, folder, bad)
                if image.file in seen:
                    raise DataError("filename", f"{image.file!r} is of a file before", "give each image one file.")
        except FnnetError as error:
            if bad == "raise":
                raise
            skipped.append(one_line(error))
            continue
        seen.add(image.file)
        found.append(image)
        skipped += left_out
    if names is None:
        names = tuple(sorted({one.name for image in found for one in image.objects}))
    return Annotations(
        tuple(image.file for image in found),
        np.array([image.size for image in found], np.int64).reshape(-1, 2),
        tuple(_together(image.objects, names) for image in found),
        names,
        tuple(range(1, len(found) + 1)),
        tuple(range(1, len(names) + 1)),
        tuple((None,) * len(image.objects) for image in found),
        tuple(skipped),
    )


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(one for one in path.iterdir() if one.suffix == ".xml" and not one.name.startswith("."))
    if not found:
        raise ReadError(str(path), "holds no .xml file", "expected VOC's Annotations, one file an image.")
    return found


def _parsed(path: Path, limit: int) -> Any:
    from defusedxml import DefusedXmlException
    from defusedxml import ElementTree as safe  # noqa: N813

    raw = read_bytes(path, limit + 1)
    if len(raw) > limit:
        raise ReadError(str(path), f"has more than {limit} bytes of XML", "pass limit= if it is trusted.")
    try:
        return safe.fromstring(raw, forbid_dtd=True)
    except DefusedXmlException as error:
        problem = "declares a document type or entities, which could grow without bound or name other files"
        raise ReadError(str(path), problem, "write it without; VOC's files have none.") from error
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise ReadError(str(path), f"is not valid XML ({error})", "check how the file was written.") from error


def _image(
    root: Any, path: str, classes: tuple[str, ...] | None, folder: Path | None, bad: Bad
) -> tuple[_Image, list[str]]:
    if root.tag != "annotation":
        raise ReadError("the file", f"begins with <{root.tag[:60]}>, expected <annotation>", "pass VOC's annotations.")
    name = _text("", root, "filename")
    check_name("filename", name)
    if folder is not None and not within("filename", folder, name).is_file():
        raise ReadError("filename", f"there is no file {name!r} in {folder}", "check the folder of images.")
    height, width = (_side(root, side) for side in ("height", "width"))
    objects, skipped = [], []
    for place, entry in enumerate(root.findall("object")):
        try:
            objects.append(_object(f"object[{place}]", entry, (height, width), classes))
        except FnnetError as error:
            if bad == "raise":
                raise
            error.path = path
            skipped.append(one_line(error))
    return _Image(name, (height, width), objects), skipped


def _object(where: str, entry: Any, size: Size, classes: tuple[str, ...] | None) -> _Object:
    name = _text(where, entry, "name")
    if classes is not None and name not in classes:
        raise DataError(f"{where}/name", f"{name[:60]!r} is none of the classes", near_matches(name[:60], classes))
    difficult = entry.findtext("difficult", "0").strip()
    if difficult not in ("0", "1"):
        raise DataError(f"{where}/difficult", f"must be 0 or 1, got {difficult[:60]!r}", "correct the entry.")
    given = [_number(where, entry, f"bndbox/{side}") for side in _SIDES]
    with localcontext(prec=_DIGITS):
        box = (float(given[0] - 1), float(given[1] - 1), float(given[2]), float(given[3]))
    box = cut_box(box, size)
    if (problem := box_problem(np.array([box]), size)) is not None:
        said = ", ".join(f"{side} {float(value)}" for side, value in zip(_SIDES, given, strict=True))
        raise DataError(f"{where}/bndbox", f"the box ({said}) {problem[1]}", "correct or leave out the object.")
    return _Object(box, name, difficult == "1")


def _text(where: str, entry: Any, name: str) -> str:
    text = (entry.findtext(name) or "").strip()
    if not text:
        raise DataError(where or "annotation", f"has no <{name}>", "add it, or check that this is VOC's file.")
    return str(text)


def _number(where: str, entry: Any, name: str) -> Decimal:
    text = _text(where, entry, name)
    if not _NUMBER.fullmatch(text):
        raise DataError(f"{where}/{name}", f"must be a finite number, got {text[:60]!r}", "correct the entry.")
    return Decimal(text)


def _side(root: Any, side: str) -> int:
    value = _number("annotation", root, f"size/{side}")
    if value != int(value) or not 0 < value <= _LONGEST_SIDE:
        problem = f"must be a whole number of pixels from 1 to {_LONGEST_SIDE}, got {float(value)}"
        raise DataError(f"size/{side}", problem, "correct the size of the image.")
    return int(value)


def _together(found: Sequence[_Object], names: Sequence[str]) -> Objects:
    label_of = {name: label for label, name in enumerate(names)}
    labels = [label_of[one.name] for one in found]
    return true_objects([one.box for one in found], labels, ignore=[one.difficult for one in found])


def write_voc(folder: FilePath, annotations: Annotations) -> None:
    """Write PASCAL VOC's XML of objects into a folder that is there, a file for each image, called as that is.

    Boxes, classes and `ignore` (``difficult``) are written; VOC's files have no outlines and no other areas, and crowds
    are refused. Law: ``read_voc`` gives them back to the bit, images in the order of their files' names. Each file is
    replaced whole.
    Raises: DataError for crowds, for two images of one stem, for names that XML cannot hold, and for ``Annotations``
    that ``annotate`` would refuse; WriteError if there is no such folder.
    """
    where, folder = "write_voc", Path(folder)
    check_annotations(where, annotations)
    if not folder.is_dir():
        raise WriteError(str(folder), "there is no such folder", "make it first.")
    stems = [Path(name).stem for name in annotations.files]
    check_once(where, "names of files without their ending", stems)
    for what, names in (("file", annotations.files), ("class", annotations.classes)):
        for name in names:
            if _UNWRITABLE.search(name):
                raise DataError(where, f"the {what} {name!r} cannot be written in XML", "rename it.")
    for name, row in zip(annotations.files, annotations.objects, strict=True):
        if np.any(row.crowd):
            fix = "write COCO's JSON, or leave crowds out."
            raise DataError(where, f"VOC has no crowds, and {name!r} has one", fix)
    for stem, name, size, row in zip(
        stems, annotations.files, annotations.sizes.tolist(), annotations.objects, strict=True
    ):
        with replacing(folder / f"{stem}.xml") as file:
            file.write(_xml(name, size, row, annotations.classes))


def _xml(name: str, size: Sequence[int], row: Objects, classes: Sequence[str]) -> bytes:
    root = ElementTree.Element("annotation")
    _add(root, filename=name)
    _add(ElementTree.SubElement(root, "size"), width=size[1], height=size[0])
    fields = [np.asarray(field).tolist() for field in (row.boxes, row.classes, row.ignore)]
    for box, label, ignore in zip(*fields, strict=True):
        entry = ElementTree.SubElement(root, "object")
        _add(entry, name=classes[label], difficult=int(ignore))
        with localcontext(prec=_DIGITS):
            sides = [_plain(Decimal(repr(value)) + one) for value, one in zip(box, (1, 1, 0, 0), strict=True)]
        _add(ElementTree.SubElement(entry, "bndbox"), **dict(zip(_SIDES, sides, strict=True)))
    ElementTree.indent(root, "\t")
    return ElementTree.tostring(root, "utf-8") + b"\n"


def _plain(value: Decimal) -> str:
    """Return a number without an exponent, and a whole one without a point, as VOC's own programs expect it.

    >>> _plain(Decimal("20.0")), _plain(Decimal("2.50"))
    ('20', '2.5')
    """
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _add(entry: Any, **texts: Any) -> None:
    for name, text in texts.items():
        ElementTree.SubElement(entry, name).text = str(text)
