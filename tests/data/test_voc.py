"""PASCAL VOC's XML: what it says, back to the bit, no entities, and every mistake named or left out."""

from __future__ import annotations

import builtins

import numpy as np
import pytest
from object_scenes import CLASSES, assert_same, scenes

import fnnet as fn
from fnnet.data import read_voc, write_voc
from fnnet.errors import DataError, ExtraMissingError, FnnetError, ReadError, ShapeError, WriteError

GOOD = """<annotation>
	<folder>VOC2007</folder>
	<filename>000001.jpg</filename>
	<source><database>The VOC2007 Database</database></source>
	<size><width>353</width><height>500</height><depth>3</depth></size>
	<segmented>0</segmented>
	<object>
		<name>dog</name><pose>Left</pose><truncated>1</truncated><difficult>0</difficult>
		<bndbox><xmin>48</xmin><ymin>240</ymin><xmax>195</xmax><ymax>371</ymax></bndbox>
		<part><name>head</name><bndbox><xmin>50</xmin><ymin>250</ymin><xmax>60</xmax><ymax>270</ymax></bndbox></part>
	</object>
	<object>
		<name>person</name>
		<difficult>1</difficult>
		<bndbox><xmin> 8 </xmin><ymin>12.5</ymin><xmax>352</xmax><ymax>500.25</ymax></bndbox>
	</object>
</annotation>
"""


def write(folder, text=GOOD, name="000001.xml"):
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder / name


def test_what_a_file_says(tmp_path):
    """Pixels count from 1, and the last is within the box; difficult is ignored; what reaches out by a pixel is cut."""
    read = read_voc(write(tmp_path))
    assert (read.files, read.sizes.tolist(), read.classes) == (("000001.jpg",), [[500, 353]], ("dog", "person"))
    assert read.objects[0].boxes.tolist() == [[47, 239, 195, 371], [7, 11.5, 352, 500]]
    assert read.objects[0].ignore.tolist() == [False, True]
    assert read.objects[0].crowd.tolist() == [False, False]
    assert read.objects[0].areas[0] == 148 * 132
    assert read_voc(tmp_path, classes=("cat", "person", "dog")).objects[0].classes.tolist() == [2, 1]


@pytest.mark.types
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", range(3))
def test_what_was_written_comes_back_to_the_bit(tmp_path, seed, dtype):
    annotations = scenes(seed, outlines=False, crowd=False, dtype=dtype, gaps=False)
    write_voc(tmp_path, annotations)
    assert_same(read_voc(tmp_path, classes=CLASSES), annotations)
    assert len(list(tmp_path.iterdir())) == len(annotations.files)


def test_whole_pixels_are_written_without_a_point(tmp_path):
    one = (np.array([[0.0, 9.0, 30.0, 20.0]]), np.array([0]))
    write_voc(tmp_path, fn.data.annotate(["in/a.png"], (40, 50), [one], ["cat"]))
    text = (tmp_path / "a.xml").read_text()
    assert "<xmin>1</xmin>" in text
    assert "<ymin>10</ymin>" in text
    assert "<xmax>30</xmax>" in text


BOMB = """<!DOCTYPE annotation [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><annotation>&b;</annotation>"""
OUTER = """<!DOCTYPE annotation [<!ENTITY a SYSTEM "file:///etc/passwd">]><annotation><filename>&a;</filename></annotation>"""
FILES = {
    "empty": ("", r"is empty \(0 bytes\)"),
    "cut": (GOOD[:-20], "is not valid XML"),
    "text": ("hello", "is not valid XML"),
    "bomb": (BOMB, "declares a document type or entities"),
    "other file": (OUTER, "declares a document type or entities"),
    "type alone": (f"<!DOCTYPE annotation>{GOOD}", "declares a document type or entities"),
    "undefined": (GOOD.replace("VOC2007</folder>", "&b;</folder>"), "is not valid XML"),
    "encoding": (b'<?xml version="1.0" encoding="klingon"?><annotation/>', "is not valid XML"),
    "wide": (b'<?xml version="1.0" encoding="utf-7"?><annotation/>', "is not valid XML"),
    "long": (f"<annotation>{' ' * 2**24}</annotation>", "has more than 16777216 bytes of XML"),
    "other": ("<html/>", "begins with <html>, expected <annotation>"),
    "deep": ("<annotation>" + "<a>" * 10**5 + "</a>" * 10**5 + "</annotation>", "has no <filename>"),
    "name": (GOOD.replace("000001.jpg", " "), "annotation.*: has no <filename>"),
    "leaving": (GOOD.replace("000001.jpg", "../a.jpg"), "filename.*: expected the name of a file within its folder"),
    "no size": (GOOD.replace("<width>353</width>", ""), "annotation.*: has no <size/width>"),
    "size": (GOOD.replace("353", "0"), "size/width.*: must be a whole number of pixels from 1 to 1048576, got 0.0"),
    "half": (GOOD.replace("353", "35.5"), "size/width.*: must be a whole number of pixels from 1 to 1048576, got 35.5"),
    "digits": (GOOD.replace("353", "9" * 99), "size/width.*: must be a finite number, got '99999"),
}


@pytest.mark.parametrize(("text", "said"), FILES.values(), ids=FILES)
def test_a_file_that_cannot_be_used_is_raised_or_left_out(tmp_path, text, said):
    bad = write(tmp_path, text, "bad.xml")
    write(tmp_path)
    with pytest.raises((ReadError, DataError), match=said) as raised:
        read_voc(tmp_path)
    assert str(raised.value).startswith(str(bad))
    read = read_voc(tmp_path, bad="skip")
    assert read.files == ("000001.jpg",)
    assert len(read.skipped) == 1
    assert read.skipped[0].startswith(str(bad))


OBJECTS = {
    "no name": (("<name>dog</name>", ""), r"object[0]): has no <name>"),
    "unknown": (("<name>dog</name>", "<name>cot</name>"), "object[0]/name): 'cot' is none of the classes"),
    "no box": (("<xmin>48</xmin>", ""), "object[0]): has no <bndbox/xmin>"),
    "text": (("48<", "left<"), "object[0]/bndbox/xmin): must be a finite number, got 'left'"),
    "nan": (("48<", "nan<"), "object[0]/bndbox/xmin): must be a finite number, got 'nan'"),
    "digits": (("48<", "4_8<"), "object[0]/bndbox/xmin): must be a finite number, got '4_8'"),
    "infinite": (("48<", "-1e999<"), "the box (xmin -inf, ymin 240.0, xmax 195.0, ymax 371.0) must be finite"),
    "inverted": (("48<", "300<"), "must have a width and a height above 0"),
    "zero": (("371<", "239<"), "must have a width and a height above 0"),
    "outside": (("371<", "501.5<"), "must lie within the image of 500 × 353 (height × width)"),
    "difficult": (("<difficult>0", "<difficult>maybe"), "object[0]/difficult): must be 0 or 1, got 'maybe'"),
}


@pytest.mark.parametrize(("change", "said"), OBJECTS.values(), ids=OBJECTS)
def test_an_object_that_cannot_be_used_is_raised_or_left_out(tmp_path, change, said):
    path = write(tmp_path, GOOD.replace(*change))
    with pytest.raises(FnnetError) as raised:
        read_voc(path, classes=("dog", "person", "cat"))
    assert said in str(raised.value)
    assert str(path) in str(raised.value)
    read = read_voc(path, classes=("dog", "person", "cat"), bad="skip")
    assert read.objects[0].classes.tolist() == [1]
    assert len(read.skipped) == 1
    assert said in read.skipped[0]


def test_folders(tmp_path):
    with pytest.raises(ReadError, match=r"holds no \.xml file"):
        read_voc(tmp_path)
    with pytest.raises(ReadError, match="cannot be read"):
        read_voc(tmp_path / "a.xml")
    write(tmp_path)
    write(tmp_path, name="again.xml")
    with pytest.raises(DataError, match=r"'000001\.jpg' is of a file before"):
        read_voc(tmp_path)
    with pytest.raises(ReadError, match=r"there is no file '000001\.jpg' in"):
        read_voc(tmp_path / "again.xml", images=tmp_path)
    with pytest.raises(DataError, match="classes must differ, got 'a' at 0 and at 1"):
        read_voc(tmp_path, classes=["a", "a"])


def test_what_cannot_be_read_back_is_not_written(tmp_path):
    good = scenes(0, outlines=False, crowd=False)
    place = next(n for n, row in enumerate(good.objects) if len(row.boxes))
    crowd = list(good.objects)
    crowd[place] = crowd[place]._replace(crowd=np.ones(len(crowd[place].boxes), bool))
    for change, error, said in (
        ({"objects": tuple(crowd)}, DataError, "VOC has no crowds"),
        ({"files": ("a.png", "in/a.jpg", *good.files[2:])}, DataError, "without their ending must differ, got 'a'"),
        ({"files": ("a\x01.png", *good.files[1:])}, DataError, r"the file 'a\\x01.png' cannot be written in XML"),
        ({"classes": (" cat", *CLASSES[1:])}, DataError, "the class ' cat' cannot be written in XML"),
        ({"sizes": good.sizes * 0}, ShapeError, "whole numbers above 0"),
    ):
        with pytest.raises(error, match=said):
            write_voc(tmp_path, good._replace(**change))
    assert not list(tmp_path.iterdir())
    with pytest.raises(WriteError, match="there is no such folder"):
        write_voc(tmp_path / "gone", good)


def test_without_defusedxml_the_extra_is_named(tmp_path, monkeypatch):
    real = builtins.__import__

    def missing(name, *rest, **options):
        if name.startswith("defusedxml"):
            raise ModuleNotFoundError("No module named 'defusedxml'", name="defusedxml")
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ExtraMissingError, match=r"read_voc: needs the module 'defusedxml'.*\n.*fnnet\[images\]"):
        read_voc(write(tmp_path))
