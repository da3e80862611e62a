"""What was found and judged, as docs/peer-laws.md has it: judgement, patterns of things, the law that they break."""

from __future__ import annotations

import fnmatch

JUDGED = (
    ("defect", "equinox.BatchNorm, batch, trained", "it_is_its_reference"),
    ("defect", "nnx.BatchNorm", "apply_is_pure"),
    ("defect", "*.RNN of *", "gradients_are_slopes"),
    ("defect", "optax.triplet_margin_loss, norm_degree=1", "it_is_its_reference"),
    ("defect", "optax.triplet_margin_loss, norm_degree=3", "it_is_its_reference"),
    ("defect", "optax.triplet_margin_loss, norm_degree=3", "gradients_are_slopes"),
    ("defect", "optax.triplet_margin_loss, norm_degree=3", "extremes_are_finite"),
    ("defect", "optax.triplet_margin_loss, norm_degree=3", "sixteen_bits_are_summed_in_thirty_two"),
    ("defect", "optax.cosine_distance, epsilon", "it_is_its_reference"),
    ("defect", "optax.multiclass_sparsemax_loss", "sixteen_bits_are_summed_in_thirty_two"),
    ("defect", "optax.rprop", "it_is_its_reference"),
    ("defect", "optax.adan", "it_is_its_reference"),
    ("defect", "optax.contrib.prodigy", "a_gradient_of_zero_moves_nothing"),
    ("defect", "optax.contrib.dadapt_adamw", "a_gradient_of_zero_moves_nothing"),
    ("defect", "optax.lbfgs", "structure_is_fixed"),
    ("defect", "optax.lbfgs", "one_trace_serves_all_values"),
    ("choice", "linen.*", "dtype_is_that_of_the_input"),
    ("choice", "nnx.*", "dtype_is_that_of_the_input"),
    ("choice", "*.GroupNorm", "leading_axes_are_batch"),
    ("choice", "*.InstanceNorm", "leading_axes_are_batch"),
    ("choice", "linen.*Norm", "symmetries_hold"),
    ("choice", "nnx.*Norm", "symmetries_hold"),
    ("choice", "linen.MultiHeadDotProductAttention, dropout", "examples_are_drawn_apart"),
    ("choice", "*.SpectralNorm", "gradients_are_slopes"),
    ("choice", "nnx.Embed", "gradients_are_slopes"),
    ("choice", "optax.*", "sixteen_bits_are_summed_in_thirty_two"),
    ("choice", "optax.ntxent", "one_value_an_example"),
    ("choice", "optax.multiclass_generalized_dice_loss", "one_value_an_example"),
    ("choice", "optax.ntxent", "examples_are_apart"),
    ("choice", "optax.*dice_loss", "examples_are_apart"),
    ("choice", "optax.ctc_loss", "examples_are_apart"),
    ("choice", "optax.multiclass_sparsemax_loss", "examples_are_apart"),
    ("choice", "optax.cosine_distance", "extremes_are_finite"),
    ("choice", "optax.yogi", "*"),
    ("choice", "optax.contrib.muon", "it_is_its_reference"),
    ("rounding", "nnx.MultiHeadAttention", "gradients_are_slopes"),
    ("rounding", "optax.generalized_kl_divergence", "extremes_are_finite"),
    ("rounding", "optax.contrib.schedule_free_*", "a_gradient_of_zero_moves_nothing"),
    ("rounding", "optax.contrib.madgrad", "it_is_its_reference"),
)


def judged(thing, law):
    """Return the judgement of a thing that breaks a law: the first that fits, or that there is none.

    >>> judged("optax.yogi", "it_is_its_reference"), judged("linen.Dense", "jit_is_eager")
    ('choice', 'not judged')
    """
    fitting = (judgement for judgement, name, of in JUDGED if fnmatch.fnmatch(thing, name) and fnmatch.fnmatch(law, of))
    return next(fitting, "not judged")
