"""Archives and IDX files: what they hold comes back, and a damaged or foreign one says what is wrong."""

from __future__ import annotations

import contextlib
import gzip
import io
import pathlib
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fnnet import data
from fnnet.errors import DataError, FnnetError, ReadError

X, Y = np.arange(12.0).reshape(4, 3), np.array([2, 0, 2, 5])
MEMBER = io.BytesIO()
with zipfile.ZipFile(MEMBER, "w") as archive:
    archive.writestr("x.npy", b"\x93NUMPY\x01\x00\x04\x00{}\n\n" + bytes(8))
CLAIMS = io.BytesIO()
with zipfile.ZipFile(CLAIMS, "w") as archive, archive.open("x.npy", "w") as member:
    np.lib.format.write_array_header_1_0(member, {"shape": (9 * 10**9,), "fortran_order": False, "descr": "<f8"})
NO_TEXT = np.array([0x7FFFFFFF] * 6, "<u4").view("<U1")
HEADER = io.BytesIO()
with zipfile.ZipFile(HEADER, "w") as archive:
    archive.writestr("x.npy", b"\x93NUMPY\x01\x00\x0a\x00{'shape': (")
WORKBOOK, PLAIN = io.BytesIO(), io.BytesIO()
with zipfile.ZipFile(WORKBOOK, "w") as archive:
    archive.writestr("xl/workbook.xml", "<workbook/>")
with zipfile.ZipFile(PLAIN, "w") as archive:
    archive.writestr("x", "1,2")
IMAGES = np.arange(3 * 2 * 2, dtype=np.uint8).reshape(3, 2, 2) * 23


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def idx(array, code=0x08, dtype=">u1"):
    """Write the format by hand, from its description."""
    return struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape) + array.astype(dtype).tobytes()


def put(path, raw):
    path.write_bytes(raw)
    return path


ARCHIVES = {
    "x, y": ({"x": X, "y": Y}, "train", X, [1, 0, 1, 2], ("0", "2", "5")),
    "x alone": ({"x": X}, "train", X, None, None),
    "parts": ({"x_train": X, "y_train": Y, "x_test": -X, "y_test": Y}, "test", -X, [1, 0, 1, 2], ("0", "2", "5")),
    "data, target": ({"data": X, "target": Y / 2}, "train", X, [[1.0], [0.0], [1.0], [2.5]], None),
    "column": ({"x": X, "y": Y[:, None]}, "train", X, [1, 0, 1, 2], ("0", "2", "5")),
    "text": ({"x": X, "y": np.array(list("baba"))}, "train", X, [1, 0, 1, 0], ("a", "b")),
    "bytes": ({"x": X, "y": np.array([b"b", b"a", b"b", b"a"])}, "train", X, [1, 0, 1, 0], ("a", "b")),
    "named": ({"x": X, "y": Y, "classes": np.array(list("abcdef"))}, "train", X, [2, 0, 2, 5], tuple("abcdef")),
    "images": ({"images": IMAGES, "labels": Y[:3]}, "train", IMAGES[..., None] / 255, [1, 0, 1], ("0", "2")),
}


@pytest.mark.parametrize(("arrays", "part", "x", "y", "classes"), ARCHIVES.values(), ids=ARCHIVES)
def test_archives_are_read_by_their_names(tmp_path, arrays, part, x, y, classes):
    dataset = data.read(put(tmp_path / "file.npz", npz(**arrays)), part=part)
    assert dataset.x.dtype == np.float32
    np.testing.assert_allclose(dataset.x, x, rtol=1e-6)
    assert dataset.y is None if y is None else dataset.y.tolist() == y
    assert dataset.classes == classes


def test_features_and_the_question_of_regression(tmp_path):
    path = put(tmp_path / "file.npz", npz(x=X, y=Y, features=np.array(["a", "b", "c"])))
    dataset = data.read(path, regression=True)
    assert dataset.features == ("a", "b", "c")
    assert dataset.y.tolist() == [[2.0], [0.0], [2.0], [5.0]]


def test_written_arrays_come_back_to_the_bit(tmp_path):
    path = tmp_path / "file.npz"
    x = np.random.default_rng(0).standard_normal((5, 2)).astype(np.float32)
    data.write_npz(path, {"x": x, "y": np.arange(5)})
    assert data.read(path).x.tobytes() == x.tobytes()
    assert [p.name for p in tmp_path.iterdir()] == ["file.npz"]


BAD_ARCHIVES = {
    "empty": (b"", ReadError, "is empty"),
    "truncated": (npz(x=X, y=Y)[:300], ReadError, "is not a whole .npz archive"),
    "damaged": (npz(x=X, y=Y).replace(X.tobytes()[8:40], b"!" * 32), ReadError, "is not a whole .npz archive"),
    "claims": (CLAIMS.getvalue(), ReadError, "the array 'x' claims shape (9000000000,) of float64, and has 128 bytes"),
    "no characters": (npz(x=X, y=Y, classes=NO_TEXT), ReadError, "text holds what is no character"),
    "header": (HEADER.getvalue(), ReadError, "is not a whole .npz archive"),
    "member": (MEMBER.getvalue(), ReadError, "is not a whole .npz archive"),
    "text": (b"x,y\n1,2\n", ReadError, "is not a whole .npz archive"),
    "objects": (npz(x=np.array([{}, None])), ReadError, "holds Python objects, which would run code when read"),
    "names": (npz(a=X, b=Y), ReadError, "expected arrays 'x' and 'y' or 'x_train' and 'y_train', got 'a', 'b'"),
    "nothing": (npz(), ReadError, "got nothing"),
    "text in x": (npz(x=X.astype(str)), ReadError, "'x' must hold numbers, got dtype <U"),
    "rows": (npz(x=X, y=Y[:3]), DataError, "'x' of shape (4, 3) and 'y' of shape (3,) differ in their rows"),
    "no rows": (npz(x=X[:0], y=Y[:0]), DataError, "at least one example, got 0"),
    "workbook": (WORKBOOK.getvalue(), ReadError, "is an Excel workbook, expected CSV, .npz or IDX"),
    "plain zip": (PLAIN.getvalue(), ReadError, "is a zip file but no .npz archive: 'x' is not an array"),
    "dates": (npz(x=X, y=Y.astype("M8[D]")), DataError, "'y': must be numbers or text, got dtype datetime64[D]"),
    "complex": (npz(x=X, y=Y * 1j), DataError, "'y': must be numbers or text, got dtype complex128"),
    "large": (npz(x=X * 1e300), DataError, "'x': must be within the range of float32 (3.4e38), got 1e+300 at row 0"),
    "classes": (npz(x=X, y=Y, classes=np.array(["a", "b"])), DataError, "from 0 to 1, the last class, got 2 at row 0"),
}


@pytest.mark.parametrize(("raw", "error", "said"), BAD_ARCHIVES.values(), ids=BAD_ARCHIVES)
def test_bad_archives_say_what_is_wrong(tmp_path, raw, error, said):
    with pytest.raises(error) as raised:
        data.read(put(tmp_path / "file.npz", raw))
    assert said in str(raised.value)
    assert "file.npz" in str(raised.value)


def test_an_archive_has_no_columns(tmp_path):
    with pytest.raises(DataError, match="has no columns to choose 'price' from"):
        data.read(put(tmp_path / "file.npz", npz(x=X, y=Y)), "price")
    for path in (put(tmp_path / NAMES[0], GOOD), tmp_path):
        with pytest.raises(DataError, match="an IDX file has no columns to choose 'price' from"):
            data.read(path, "price")


NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")


@pytest.mark.parametrize("packed", [(False, False), (True, True), (True, False)])
def test_images_find_their_labels(tmp_path, packed):
    for name, array, gz in zip(NAMES, (IMAGES, Y[:3]), packed, strict=True):
        raw = idx(array)
        put(tmp_path / (name + ".gz" * gz), gzip.compress(raw) if gz else raw)
    path = tmp_path / (NAMES[0] + ".gz" * packed[0])
    for dataset in (data.read(path), data.read(tmp_path)):
        np.testing.assert_allclose(dataset.x, IMAGES[..., None] / 255, rtol=1e-6)
        assert (dataset.y.tolist(), dataset.classes) == ([1, 0, 1], ("0", "2"))
        assert (dataset.x.shape, dataset.x.dtype) == ((3, 2, 2, 1), np.float32)


def test_the_test_part_of_a_directory(tmp_path):
    put(tmp_path / "t10k-images-idx3-ubyte", idx(IMAGES))
    put(tmp_path / "t10k-labels-idx1-ubyte", idx(Y[:3]))
    assert data.read(tmp_path, part="test").y.tolist() == [1, 0, 1]
    with pytest.raises(ReadError, match="holds no IDX images of the train part"):
        data.read(tmp_path)


@pytest.mark.parametrize(("code", "dtype"), [(0x09, ">i1"), (0x0B, ">i2"), (0x0C, ">i4"), (0x0D, ">f4"), (0x0E, ">f8")])
def test_every_number_type_of_idx(tmp_path, code, dtype):
    values = np.array([[[-1, 2], [3, 100]]])
    put(tmp_path / "images", idx(values, code, dtype))
    put(tmp_path / "labels", idx(Y[:1]))
    assert data.read(tmp_path / "images").x[..., 0].tolist() == values.tolist()


GOOD = idx(IMAGES)
BAD_IDX = {
    "empty": (b"", "is empty"),
    "foreign": (b"GIF89a", "is not an IDX file: it begins with 47 49 46 38"),
    "dtype": (b"\0\0\x07\x03" + GOOD[4:], "is not an IDX file: it begins with 00 00 07 03"),
    "no values": (
        struct.pack(">HBB3I", 0, 8, 3, 0, 2**32 - 1, 2**32 - 1),
        "holds no values: its shape is (0, 4294967295",
    ),
    "header": (GOOD[:9], "is truncated in its header: 9 bytes of 16"),
    "truncated": (GOOD[:-1], "is truncated: shape (3, 2, 2) needs 28 bytes, got 27"),
    "long": (GOOD + b"\0", "is longer than its header says: shape (3, 2, 2) needs 28 bytes, got 29"),
    "gzip": (gzip.compress(GOOD)[:-9], "is a damaged or truncated gzip file"),
    "labels": (idx(Y), "holds labels, expected images"),
    "unequal": (idx(IMAGES[:2]), "expected 2 labels, one an image, got 3"),
}


@pytest.mark.parametrize(("raw", "said"), BAD_IDX.values(), ids=BAD_IDX)
def test_bad_idx_says_what_is_wrong(tmp_path, raw, said):
    put(tmp_path / NAMES[1], idx(Y[:3]))
    with pytest.raises(ReadError) as raised:
        data.read(put(tmp_path / NAMES[0], raw))
    assert said in str(raised.value)
    assert "idx" in str(raised.value).partition(":")[0]


def test_labels_may_be_absent_and_must_be_whole(tmp_path):
    images = put(tmp_path / NAMES[0], GOOD)
    assert data.read(images).y is None
    put(tmp_path / NAMES[1], idx(np.ones(3), 0x0D, ">f4"))
    with pytest.raises(ReadError, match=r"expected one whole number a row, got float32 of shape \(3,\)"):
        data.read(images)


@pytest.mark.parametrize(
    ("raw", "kind"),
    [(b"\x89HDF\r\n", "HDF5"), (b"PAR1", "Parquet"), (b"\x93NUMPY", ".npy"), (b"\x80\x04\x95", "pickle")],
)
def test_foreign_formats_are_named(tmp_path, raw, kind):
    with pytest.raises(ReadError, match=f"is .*{kind}.*expected CSV, .npz or IDX"):
        data.read(put(tmp_path / "file.bin", raw))


def test_an_absent_file_has_near_names(tmp_path):
    put(tmp_path / "pets.csv", b"a\n1\n")
    with pytest.raises(ReadError, match=r"no such file\n  Fix: did you mean 'pets.csv'\?"):
        data.read(tmp_path / "pet.csv")
    with pytest.raises(ReadError, match=r"no such file\n  Fix: check the path"):
        data.read(tmp_path / "absent" / "zzz")


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    path = put(tmp_path / "file.csv", b"a\n1\n")

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(pathlib.Path, "open", refuse)
    with pytest.raises(ReadError, match=r"cannot be read \(Permission denied\)"):
        data.read(path)


WHOLE = {
    "file.npz": npz(x=X, y=Y),
    "train-images-idx3-ubyte": GOOD,
    "file.csv.gz": gzip.compress(b"size,kind\n1.5,cat\n2,dog\n"),
    "file.csv": b'size,kind,"long, name"\n1.5,cat,1\n2,"dog",0\n',
}


@pytest.mark.parametrize("name", WHOLE)
@given(start=st.integers(0, 600), drop=st.integers(0, 5), insert=st.binary(max_size=5), end=st.integers(0, 600))
def test_damage_of_any_kind_is_a_typed_error_or_still_a_data_set(tmp_path_factory, name, start, drop, insert, end):
    """Whatever bytes are cut, changed or put in, no other exception than fnnet's comes out."""
    directory = tmp_path_factory.mktemp("damaged")
    put(directory / NAMES[1], idx(Y[:3]))
    raw = WHOLE[name]
    start %= len(raw)
    raw = (raw[:start] + insert + raw[start + drop :])[: max(1, len(raw) - end % len(raw))]
    with contextlib.suppress(FnnetError):
        assert data.length(data.read(put(directory / name, raw))) > 0
