"""``fnnet laws``: a table of what came of each law, of objects in a file or a module of the user's own."""

from __future__ import annotations

import pytest

MINE = """
import jax.numpy as jnp
import fnnet as fn
from fnnet import testing

dense = fn.dense(3)
unit = (lambda key, x: {}, lambda params, x: x / jnp.sqrt((x**2).sum(-1, keepdims=True)))
descent = fn.sgd(0.1)
falling = testing.ScheduleSubject(fn.schedules.cosine(0.1, steps=9), 9)
table = {"falling": falling, "sampled": testing.SamplerSubject(fn.sampling.with_replacement())}
number = 3
share = fn.metrics.accuracy()
numbers = {"three": 3}
nothing = {}
"""


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "mine.py").write_text(MINE, encoding="utf-8")
    (tmp_path / "broken.py").write_text("1 / 0", encoding="utf-8")


def test_a_sound_layer_and_an_optimizer(mine, fnnet):
    code, out, err = fnnet("laws", "mine.py:dense", "--input", "2,4")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "mine.py:dense"
    assert any("jit_is_eager" in line and "held" in line for line in lines)
    assert "broken" not in out
    assert "symmetries_hold" not in out  # nothing is declared
    code, out, _ = fnnet("laws", "mine:descent", "--excuse", "update_is_pure: it was read")
    assert code == 0
    assert any("update_is_pure" in line and "excused" in line and "it was read" in line for line in out.splitlines())


def test_a_broken_layer_is_told_with_its_case(mine, fnnet):
    code, out, _ = fnnet("laws", "mine.py:unit", "--input", "2,4")
    assert code == 1
    assert any("finite_inputs_give_numbers" in line and "broken" in line for line in out.splitlines())
    assert "breaks the law finite_inputs_give_numbers" in out
    assert "Again: fn.testing.check_layer(layer, x, laws='finite_inputs_give_numbers', case={" in out


def test_subjects_and_tables_of_them(mine, fnnet):
    assert fnnet("laws", "mine.py:falling")[0] == 0
    code, out, _ = fnnet("laws", "mine.py:table")
    assert code == 1
    assert out.index("falling\n") < out.index("sampled\n") < out.index("breaks the law a_pass_has_each_row_once")


MISTAKES = {
    ("mine.py",): (2, "expected MODULE:OBJECT or FILE.py:OBJECT, got 'mine.py'"),
    ("absent.py:x",): (1, "error: absent.py: is no file"),
    ("absent:x",): (1, "error: absent: cannot be imported (ModuleNotFoundError"),
    ("broken.py:x",): (1, "error: broken.py: fails when it is run (ZeroDivisionError: division by zero)"),
    ("mine.py:other",): (1, "error: mine.py: has no object 'other'\n  Fix: name one that it has: dense, descent,"),
    ("mine.py:dense",): (1, "error: mine.py:dense: is a Layer, of which an example of its input is needed"),
    ("mine.py:share",): (1, "error: mine.py:share: is a Metric, of which an example of its input is needed"),
    ("mine.py:nothing",): (1, "error: mine.py:nothing: is empty\n  Fix: name a dict of subjects"),
    ("mine.py:numbers",): (1, "error: mine.py:numbers: has int at 'three', expected subjects of fnnet.testing"),
    ("mine.py:dense", "--input", "2,x"): (2, "expected whole numbers as 2,28,28,1, got '2,x'"),
    ("mine.py:number", "--input", "2,4"): (1, "error: mine.py:number: a layer must be a Layer or a function"),
    ("mine.py:descent", "--excuse", "jit_is_eager"): (1, "error: optimizer: the law 'jit_is_eager' is excused without"),
}


@pytest.mark.parametrize("arguments", MISTAKES)
def test_mistakes_get_one_clear_line(mine, fnnet, arguments):
    code, said = MISTAKES[arguments]
    found, _, err = fnnet("laws", *arguments)
    assert found == code
    assert " ".join(said.split()) in " ".join(err.replace("│", " ").split())
