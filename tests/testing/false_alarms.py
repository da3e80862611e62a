"""Ask every law of every table of the tests in many fresh cases: ``python tests/testing/false_alarms.py --runs 200``.

Each law of each row is searched in as many cases as so many runs of the profile of CI have, but from a fresh seed. What
it finds broken is a fault of fnnet, or a false alarm. Printed is how much was asked, by table, and what was broken.
"""

from __future__ import annotations

import argparse
import importlib.util
import pathlib
import sys
import time

import jax

from fnnet import testing

TESTS = pathlib.Path(__file__).parents[1]


def tables(names):
    """Yield (path, obligations) of each file of tests that has tables of laws."""
    for path in sorted(TESTS.rglob("test_*.py")):
        if "law_table(" in path.read_text(encoding="utf-8") and path.parent.name != "testing":
            relative = str(path.relative_to(TESTS))
            if not names or any(name in relative for name in names):
                yield relative, obligations(imported(path))


def imported(path):
    sys.path[:0] = [str(path.parent), str(TESTS)]
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def obligations(module):
    """Return what the tables of a module ask, but for what is excused."""
    marks = [mark for thing in vars(module).values() for mark in getattr(thing, "pytestmark", ()) if callable(thing)]
    found = [param.values[0] for mark in marks if mark.args and mark.args[0] == "law" for param in mark.args[1]]
    return [one for one in found if not one.reason]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="of files of tests, or parts of them; else all")
    parser.add_argument("--runs", type=int, default=200)
    options = parser.parse_args()
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    jax.config.update("jax_numpy_rank_promotion", "raise")
    jax.config.update("jax_disable_most_optimizations", True)
    profile = testing.Profile(options.runs * testing.CI.cases, seed=None)
    print("| table | laws of rows | cases | broken |\n| --- | --- | --- | --- |")
    broken = []
    for path, asked in tables(options.names):
        cases, alarms, row, start = 0, [], None, time.monotonic()
        for one in asked:
            verdict = next(testing.verdicts_of(one.subject, laws=one.law, profile=profile))
            cases += verdict.cases
            if verdict.error:
                alarms.append(f"{path}: {one.row}\n{verdict.error}")
                print(alarms[-1], file=sys.stderr, flush=True)
            if one.row != row:
                jax.clear_caches()
                row = one.row
        print(f"| {path} | {len(asked)} | {cases} | {len(alarms)} |", flush=True)
        print(f"{path}: {time.monotonic() - start:.0f} s", file=sys.stderr)
        broken += alarms
    print("", *broken, sep="\n")


if __name__ == "__main__":
    main()
