"""The laws of ``fn.testing`` asked of layers, losses and optimizers of flax, equinox and optax.

python benchmarks/peer_laws.py [NAME ...] [--cases 8 | --hunt]

Prints a table: a thing, how many laws it held, which it broke, and how that is judged (docs/peer-laws.md says why);
then each that is broken, with the simplest case. No time is taken.
"""

from __future__ import annotations

import argparse
import fnmatch
import warnings
from importlib.metadata import version

from law_peers import LAWS_OF, things
from law_peers.judged import judged

from fnnet import testing

PACKAGES = ("flax", "equinox", "optax", "jax")


def chosen(names):
    """Return the subjects whose names are among these, or match one of the patterns."""
    found = things()
    return {
        name: subject
        for name, subject in found.items()
        if not names or any(fnmatch.fnmatch(name.lower(), f"*{pattern.lower()}*") for pattern in names)
    }


def row(name, verdicts):
    """Return the line of a thing in the table."""
    held = sum(verdict.outcome == "held" for verdict in verdicts)
    broken = [f"`{v.law}` ({judged(name, v.law)})" for v in verdicts if v.outcome == "broken"]
    return f"| {name} | {held} | {', '.join(broken) or '–'} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="of things, or parts of them; else all")
    parser.add_argument("--cases", type=int, default=testing.CI.cases)
    parser.add_argument("--hunt", action="store_true", help=f"{testing.HUNT.cases} cases of each law, others each time")
    options = parser.parse_args()
    profile = testing.HUNT if options.hunt else testing.CI._replace(cases=options.cases)
    warnings.filterwarnings("ignore")
    print(", ".join(f"{name} {version(name)}" for name in PACKAGES))
    print("\n| thing | laws held | laws broken |\n| --- | --- | --- |")
    found = []
    for name, subject in chosen(options.names).items():
        verdicts = list(testing.verdicts_of(subject, laws=LAWS_OF.get(name), profile=profile))
        print(row(name, verdicts), flush=True)
        found += [(name, verdict) for verdict in verdicts if verdict.outcome == "broken"]
    for name, verdict in found:
        print(f"\n## {name}: {judged(name, verdict.law)}\n\n{verdict.error}")


if __name__ == "__main__":
    main()
