"""The public names are few, sorted, documented, and cheap to import."""

from __future__ import annotations

import ast
import inspect
import pathlib
import subprocess
import sys

import pytest

import fnnet as fn

ROOT = pathlib.Path(fn.__file__).parent
PUBLIC = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in (
        fn,
        fn.activations,
        fn.augmentation,
        fn.boxes,
        fn.compose,
        fn.data,
        fn.initializers,
        fn.inspection,
        fn.layers,
        fn.layouts,
        fn.losses,
        fn.metrics,
        fn.nets,
        fn.neurons,
        fn.optimizers,
        fn.plotting,
        fn.testing,
        fn.transforms,
    )
    for name in module.__all__
}


def test_names_are_sorted():
    families = (fn.compose, fn.data, fn.layers, fn.layouts, fn.losses, fn.metrics, fn.optimizers, fn.transforms)
    for module in (
        fn,
        *families,
        fn.augmentation,
        fn.boxes,
        fn.inspection,
        fn.nets,
        fn.neurons,
        fn.plotting,
        fn.testing,
    ):
        assert list(module.__all__) == sorted(module.__all__)
        assert len(set(module.__all__)) == len(module.__all__)


@pytest.mark.parametrize("name", PUBLIC)
def test_everything_public_is_documented(name):
    thing = PUBLIC[name]
    if callable(thing) and getattr(thing, "__module__", "").startswith("fnnet"):
        assert len((inspect.getdoc(thing) or "").split()) >= 2


def test_no_optional_library_is_imported():
    """`import fnnet` loads the core alone: the optional libraries wait until they are used."""
    code = "import sys, fnnet; print(*(m for m in sys.modules if '.' not in m))"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert "fnnet" in loaded
    optional = {"sklearn", "matplotlib", "PIL", "defusedxml", "safetensors", "orbax", "typer", "rich"}
    assert not loaded & (optional | {"optax", "flax", "torch", "chex"})


def test_no_foreign_neural_library_and_no_pickle_in_the_package():
    banned = {"optax", "flax", "equinox", "haiku", "torch", "keras", "pickle", "cloudpickle", "dill", "joblib"}
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & banned, path


def test_what_is_imported_later_is_there():
    """Modules that training does not need are found by name and by dir; a wrong name is an AttributeError."""
    code = "import sys, fnnet as fn; print('fnnet.metrics' in sys.modules, fn.metrics.f1(2).name, fn.summary.__name__)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "f1_macro", "summary"]
    assert set(fn.__all__) <= set(dir(fn))
    with pytest.raises(AttributeError, match="no attribute 'optax'"):
        fn.optax  # noqa: B018
