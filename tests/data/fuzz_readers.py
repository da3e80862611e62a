"""Damaged files for every reader: ``python tests/data/fuzz_readers.py --minutes 10 --seed 0``.

Files of every format are damaged at random: bits, cuts, repeats, splices, numbers and values of other kinds. A reader
may read one or raise an error of fnnet; anything else is a failure: another error, a crash, more than `SECONDS` for an
input, more than `MEMORY` beside what the process has, annotations that were read and are not read the same when they
are written. Inputs are functions of the seed and their number, which a failure names: ``--only NUMBER`` runs it alone.
They are read in a child process, which is begun anew behind an input that ends it.
"""

from __future__ import annotations

import argparse
import collections
import copy
import gzip
import io
import json
import pathlib
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
import zlib

import numpy as np

SECONDS = 10
MEMORY = 2**28
PIXELS = 2**18  # of an image, at most: what one needs is far below MEMORY


def image_seeds():
    from picture_files import encoded

    kinds = {
        "png": ("PNG", ("RGB", "L", "P", "RGBA", "LA", "1", "I;16")),
        "jpeg": ("JPEG", ("RGB", "L", "CMYK")),
        "gif": ("GIF", ("P", "L")),
        "bmp": ("BMP", ("RGB", "P", "1")),
        "tiff": ("TIFF", ("RGB", "L", "I;16", "CMYK")),
        "webp": ("WEBP", ("RGB", "RGBA")),
        "ppm": ("PPM", ("RGB", "L")),
    }
    seeds = {name: [encoded(kind, mode) for mode in modes] for name, (kind, modes) in kinds.items()}
    seeds["jpeg"].append(encoded("JPEG", progressive=True, quality=30))
    seeds["tiff"] += [encoded("TIFF", "RGB", compression=how) for how in ("tiff_lzw", "tiff_adobe_deflate", "packbits")]
    return seeds


def other_seeds():
    from object_scenes import scenes

    import fnnet as fn

    seeds = collections.defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for seed in range(3):
            made = scenes(seed, images=3)
            fn.data.write_coco(folder / "a.json", made)
            seeds["coco"].append((folder / "a.json").read_bytes())
            fn.data.write_voc(folder, scenes(seed, images=3, outlines=False, crowd=False))
            seeds["voc"] += [path.read_bytes() for path in folder.glob("*.xml")]
        found = [{"image_id": made.image_ids[0], "category_id": 3, "bbox": [0, 0, 2.5, 3], "score": 0.5}] * 3
        seeds["results"].append(json.dumps(found).encode())
        fn.data.write_npz(
            folder / "a.npz", {"x": np.ones((4, 3)), "y": np.arange(4), "classes": np.array(list("abcd"))}
        )
        seeds["npz"].append((folder / "a.npz").read_bytes())
    file = io.BytesIO()
    np.savez_compressed(file, images=np.ones((3, 4, 4), np.uint8), labels=np.arange(3))
    seeds["npz"].append(file.getvalue())
    idx = struct.pack(">HBB3I", 0, 8, 3, 2, 3, 4) + bytes(24)
    seeds["idx"] += [idx, gzip.compress(idx), struct.pack(">HBB2I", 0, 0x0D, 2, 2, 3) + bytes(24)]
    seeds["csv"] += [
        b"size,kind,n\n1.5,cat,3\n2,dog,4\n,dog,5\n",
        b'a;"b c";y\n1;"x\n2";3\n4;5;6\n',
        "é\tß\n1\t2\n".encode(),
    ]
    return seeds


def damaged(rng, raw, others):
    """Damage bytes at one to a few places."""
    data = bytearray(raw)
    for _ in range(int(rng.integers(1, 1 + 2 ** int(rng.integers(1, 5))))):
        place = int(rng.integers(0, len(data) + 1))
        until = min(len(data), place + int(2 ** rng.integers(0, 7)))
        match int(rng.integers(0, 8)):
            case 0 if place < len(data):
                data[place] ^= 1 << int(rng.integers(8))
            case 1 if place < len(data):
                data[place] = int(rng.choice([0, 1, 127, 128, 255, rng.integers(256)]))
            case 2:
                del data[place:until]
            case 3:
                data[place:place] = data[place:until] * int(rng.integers(1, 9))
            case 4:
                data[place:place] = rng.bytes(int(rng.integers(1, 9)))
            case 5:
                del data[place:]
            case 6:
                other = others[int(rng.integers(len(others)))]
                start = int(rng.integers(0, len(other) + 1))
                data[place:until] = other[start : start + int(2 ** rng.integers(0, 9))]
            case 7:
                value = int(rng.choice([0, 1, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1]))
                data[place : place + 4] = struct.pack(rng.choice(["<I", ">I"]), value)
    return bytes(data)


def with_right_sums(raw):
    """Give the chunks of a PNG their checksums, so that what is in them is looked at."""
    data, place = bytearray(raw), 8
    while place + 12 <= len(data):
        end = place + 8 + int.from_bytes(data[place : place + 4], "big")
        if end + 4 > len(data):
            break
        data[end : end + 4] = zlib.crc32(data[place + 4 : end]).to_bytes(4, "big")
        place = end + 4
    return bytes(data)


def member_damaged(rng, raw, others):
    """Damage the arrays within an archive, and pack them again."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as archive, zipfile.ZipFile(file, "w") as again:
        for name in archive.namelist():
            again.writestr(name, damaged(rng, archive.read(name), others) if rng.random() < 0.7 else archive.read(name))
    return file.getvalue()


VALUES = (
    None,
    True,
    0,
    -1,
    1,
    2**40,
    10**25,
    1e308,
    -1e-300,
    0.5,
    "",
    "a",
    "../x",
    "\0",
    [],
    {},
    [[]],
    [1, 2, 3, 4],
    {"id": 1},
)
TEXTS = (
    b"0",
    b"-1",
    b"1e999",
    b"1e308",
    b"NaN",
    b"9" * 30,
    b'"',
    b"[" * 50,
    b"{",
    b"&a;",
    b"<object>",
    b"<!DOCTYPE a>",
    b"\0",
    b",",
    b"\n",
)


def tree_damaged(rng, raw):
    """Put other values into JSON, or take some out."""
    root = [json.loads(raw)]
    for _ in range(int(rng.integers(1, 4))):
        nodes, places = [root], []
        while nodes:
            node = nodes.pop()
            for key in range(len(node)) if isinstance(node, list) else list(node):
                places.append((node, key))
                if isinstance(node[key], list | dict):
                    nodes.append(node[key])
        node, key = places[int(rng.integers(len(places)))]
        other, its = places[int(rng.integers(len(places)))]
        match int(rng.integers(0, 4)):
            case 0:
                node[key] = copy.deepcopy(VALUES[int(rng.integers(len(VALUES)))])
            case 1:
                node[key] = json.loads(json.dumps(other[its]))
            case 2 if node is not root:
                del node[key]
            case 3 if isinstance(node[key], list):
                node[key] = node[key] + copy.deepcopy(node[key])
    return json.dumps(root[0]).encode()


def text_damaged(rng, raw):
    data = bytearray(raw)
    for _ in range(int(rng.integers(1, 4))):
        place = int(rng.integers(0, len(data) + 1))
        data[place : place + int(rng.integers(0, 6))] = TEXTS[int(rng.integers(len(TEXTS)))]
    return bytes(data)


def input_of(seeds, names, seed, number):
    """Return the format and the bytes of one input."""
    rng = np.random.default_rng((seed, number))
    name = names[number % len(names)]
    others = seeds[name]
    raw = others[int(rng.integers(len(others)))]
    if name in ("coco", "results") and rng.random() < 0.6:
        return name, tree_damaged(rng, raw), rng
    if name in ("coco", "results", "voc", "csv") and rng.random() < 0.6:
        return name, text_damaged(rng, raw), rng
    if name == "npz" and rng.random() < 0.6:
        return name, member_damaged(rng, raw, others), rng
    raw = damaged(rng, raw, others)
    return name, with_right_sums(raw) if name == "png" and rng.random() < 0.7 else raw, rng


def read(name, path, rng, annotations):
    """Read one input as a user would; what is read must be sound."""
    from object_scenes import assert_same

    import fnnet as fn

    bad = "skip" if rng.random() < 0.5 else "raise"
    if name in ("coco", "voc"):
        reader = fn.data.read_coco if name == "coco" else fn.data.read_voc
        found = reader(path, bad=bad)
        again = path.with_name("again.json")
        fn.data.write_coco(again, found)
        back = fn.data.read_coco(again)
        if name == "coco":
            assert_same(back, found)
        for number, size in enumerate(found.sizes.tolist()):
            if size[0] * size[1] <= PIXELS and len(found.objects[number].boxes) < 9:
                assert fn.data.semantic_mask(found, number).shape == tuple(size)
                fn.data.object_masks(found, number)
    elif name == "results":
        fn.data.read_coco_results(path, annotations)
    elif name == "csv":
        fn.data.read(path, missing="mean")
    elif name in ("npz", "idx"):
        fn.data.read(path)
    else:
        mode = ("L", "RGB", "RGBA")[int(rng.integers(3))]
        size = (5, 7) if rng.random() < 0.5 else None
        resize = ("stretch", "crop", "pad")[int(rng.integers(3))]
        read = fn.data.read_images([path], mode=mode, size=size, resize=resize, bad=bad, pixels=PIXELS, workers=1)
        assert read.x.min() >= 0
        assert read.x.max() <= 1
        try:
            masks = fn.data.read_masks([path], size=size, resize=resize, pixels=PIXELS, workers=1)
        except fn.errors.ReadError as error:
            assert "whose pixels are colours" in str(error)  # noqa: PT017
        else:
            assert masks.shape[1:] == read.x.shape[1:3]
            assert 0 <= masks.min() <= masks.max() < 2**16


def of_memory(error):
    while error is not None:
        if isinstance(error, MemoryError):
            return True
        error = error.__cause__ or error.__context__
    return False


def child(arguments, folder):
    """Read inputs one after another; each result is a line in the folder's file."""
    from object_scenes import scenes

    from fnnet.errors import FnnetError

    warnings.simplefilter("ignore")
    seeds = {**image_seeds(), **other_seeds()}
    names, annotations = sorted(seeds), scenes(2, images=3)
    counts: collections.Counter = collections.Counter()
    with (folder / "results").open("a") as results, (folder / "number").open("w") as current:
        for name in names:  # what is imported at the first use is not counted as an input's memory
            path = folder / "input"
            path.write_bytes(seeds[name][0])
            read(name, path, np.random.default_rng(0), annotations)
        pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        number = arguments.start
        until = time.time() + 60 * arguments.minutes
        while (time.time() < until and not arguments.inputs) or number < arguments.start + arguments.inputs:
            current.seek(0)
            current.write(f"{number:12}")
            current.flush()
            name, raw, rng = input_of(seeds, names, arguments.seed, number)
            path = folder / f"input.{'csv' if name == 'csv' else 'bin'}"
            path.write_bytes(raw)
            signal.setitimer(signal.ITIMER_REAL, SECONDS)
            try:
                read(name, path, rng, annotations)
                outcome = "read"
            except FnnetError as error:
                outcome = "FAILED of memory" if of_memory(error) else type(error).__name__
                said = traceback.format_exc()
            except BaseException as error:
                outcome, said = f"FAILED of {type(error).__name__}", traceback.format_exc()
            signal.setitimer(signal.ITIMER_REAL, 0)
            counts[name, outcome] += 1
            if outcome.startswith("FAILED"):
                results.write(json.dumps({"number": number, "format": name, "outcome": outcome, "said": said}) + "\n")
                results.flush()
            number += 1
            if number % 100 == 0 or arguments.inputs:
                (folder / "counts").write_text(json.dumps([[*key, count] for key, count in counts.items()]))
        (folder / "counts").write_text(json.dumps([[*key, count] for key, count in counts.items()]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--inputs", type=int, default=0, help="so many, whatever time they take")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--only", type=int, help="the number of one input")
    parser.add_argument("--child", type=pathlib.Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only is not None:
        arguments.start, arguments.inputs = arguments.only, 1
    if arguments.child:
        child(arguments, arguments.child)
        return 0
    begun, total, failures, start = time.time(), collections.Counter(), [], arguments.start
    while True:
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            left = arguments.minutes - (time.time() - begun) / 60
            inputs = arguments.start + arguments.inputs - start if arguments.inputs else 0
            command = [sys.executable, __file__, "--child", name, "--seed", str(arguments.seed), "--start", str(start)]
            ended = subprocess.run([*command, "--minutes", str(left), "--inputs", str(inputs)], check=False).returncode
            if (folder / "counts").exists():
                for kind, outcome, count in json.loads((folder / "counts").read_text()):
                    total[kind, outcome] += count
            if (folder / "results").exists():
                failures += [json.loads(line) for line in (folder / "results").read_text().splitlines()]
            if ended == 0:
                break
            last = (folder / "number").read_text() if (folder / "number").exists() else ""
            if not last.strip():
                raise SystemExit(f"the child did not begin: exit status {ended}")
            outcome = "FAILED of time" if ended == -signal.SIGALRM else f"FAILED by exit status {ended}"
            failures.append({"number": int(last), "format": "", "outcome": outcome, "said": ""})
            start = int(last) + 1
    kinds = {(failure["format"], failure["outcome"], failure["said"][-80:]): failure for failure in reversed(failures)}
    for failure in list(kinds.values())[:20]:
        print(failure["number"], failure["format"], failure["outcome"], failure["said"], sep="\n", end="\n\n")
    outcomes = sorted({outcome for _, outcome in total})
    print("format".ljust(10), *(outcome.rjust(12) for outcome in outcomes))
    for kind in sorted({kind for kind, _ in total}):
        print(kind.ljust(10), *(str(total[kind, outcome]).rjust(12) for outcome in outcomes))
    print(
        f"{sum(total.values())} inputs in {time.time() - begun:.0f} s, seed {arguments.seed}: {len(failures)} failures"
    )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
