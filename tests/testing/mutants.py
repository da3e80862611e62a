"""All mutants by name, and a script that prints which law finds which: ``python tests/testing/mutants.py``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import mutant_layers
import mutant_losses
import mutant_optimizers
import mutant_others

from fnnet import testing

ESCAPE = {"training: init does not use the key": "a network of zeros begins with the same for every key too"}


class Mutant(NamedTuple):
    make: Callable[[str], Any]
    fault: str


FAMILIES = {
    make: faults
    for module in (mutant_layers, mutant_losses, mutant_optimizers, mutant_others)
    for make, faults in module.FAULTS.items()
}
SOUND = {make.__name__.removeprefix("of_"): make for make in FAMILIES}
MUTANTS = {
    f"{make.__name__.removeprefix('of_')}: {fault}": Mutant(make, fault)
    for make, faults in FAMILIES.items()
    for fault in faults
}


def found_by(mutant, profile=testing.CI):
    """Return the law that a check finds broken first, None if it finds none."""
    for verdict in testing.verdicts_of(mutant.make(mutant.fault), profile=profile):
        if verdict.error is not None:
            return verdict.law
    return None


def main():
    """Print the table, in the settings of the tests."""
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    jax.config.update("jax_numpy_rank_promotion", "raise")
    jax.config.update("jax_disable_most_optimizations", True)
    laws = {name: found_by(mutant) for name, mutant in MUTANTS.items()}
    print("| mutant | found by |\n| --- | --- |")
    for name, law in laws.items():
        print(f"| {name} | {f'`{law}`' if law else f'none: {ESCAPE.get(name)}'} |")
    print(f"\n{len([law for law in laws.values() if law])} of {len(laws)} are found.")


if __name__ == "__main__":
    main()
