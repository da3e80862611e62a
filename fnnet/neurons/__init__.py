"""The first neurons: threshold units set by hand, the perceptron that learns, and what one unit can decide."""

from fnnet.neurons.delta import Adaline, adaline
from fnnet.neurons.learning import (
    KernelPerceptron,
    Perceptron,
    as_layer,
    averaged_perceptron,
    kernel_perceptron,
    multiclass_perceptron,
    perceptron,
    pocket_perceptron,
)
from fnnet.neurons.separation import Certificate, Margin, margin, separable
from fnnet.neurons.thresholds import append_one, theta_as_weight
from fnnet.neurons.units import (
    and_gate,
    boolean_inputs,
    boolean_network,
    k_of_n,
    majority,
    nand_gate,
    nor_gate,
    not_gate,
    or_gate,
    threshold_layer,
    threshold_unit,
)

__all__ = [
    "Adaline",
    "Certificate",
    "KernelPerceptron",
    "Margin",
    "Perceptron",
    "adaline",
    "and_gate",
    "append_one",
    "as_layer",
    "averaged_perceptron",
    "boolean_inputs",
    "boolean_network",
    "k_of_n",
    "kernel_perceptron",
    "majority",
    "margin",
    "multiclass_perceptron",
    "nand_gate",
    "nor_gate",
    "not_gate",
    "or_gate",
    "perceptron",
    "pocket_perceptron",
    "separable",
    "theta_as_weight",
    "threshold_layer",
    "threshold_unit",
]
