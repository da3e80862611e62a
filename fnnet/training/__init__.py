"""The pure experiment: a training step and a whole training run are functions of ``(task, state, data)``."""

from fnnet.training.checks import check_state, check_task, unpack
from fnnet.training.compiling import compiler_options
from fnnet.training.evaluation import check_targets, come_in_batches, evaluate, measure, measure_batches, predict
from fnnet.training.nonfinite import PHASES, Address, first_nonfinite
from fnnet.training.records import Record, kept
from fnnet.training.runs import Carry, Course, batch_at, blank, check_course, first, move, run
from fnnet.training.steps import init, step

__all__ = [
    "PHASES",
    "Address",
    "Carry",
    "Course",
    "Record",
    "batch_at",
    "blank",
    "check_course",
    "check_state",
    "check_targets",
    "check_task",
    "come_in_batches",
    "compiler_options",
    "evaluate",
    "first",
    "first_nonfinite",
    "init",
    "kept",
    "measure",
    "measure_batches",
    "move",
    "predict",
    "run",
    "step",
    "unpack",
]
