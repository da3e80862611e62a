"""What is of another type than the annotations say is refused by name, also where no checker of types runs."""

from __future__ import annotations

import numpy as np
import pytest

from fnnet import neurons
from fnnet.errors import DtypeError

BITS, XOR = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32), np.array([0, 1, 1, 0])

WRONG = {
    "labels": (lambda: neurons.perceptron(BITS, ["a", "b", "b", "a"]), DtypeError, "y must hold numbers, got <U1"),
    "rate": (lambda: neurons.perceptron(BITS, XOR, learning_rate="fast"), ValueError, "above 0, got 'fast'"),
    "no rate": (lambda: neurons.adaline(BITS, XOR, learning_rate=None), ValueError, "above 0, got None"),
    "kernel": (lambda: neurons.kernel_perceptron(BITS, XOR, None), TypeError, "a function of two vectors.*got None"),
    "learnt": (lambda: neurons.as_layer(3), TypeError, "must be what a function of fn.neurons returned, got 3"),
    "theta": (lambda: neurons.threshold_unit(2, "a"), ValueError, "theta must hold a finite number a unit"),
    "position": (lambda: neurons.threshold_unit(2, 1, 1), ValueError, "a sequence of positions.*got 1"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_types(case):
    call, kind, message = WRONG[case]
    with pytest.raises(kind, match=message):
        call()
