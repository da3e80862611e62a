"""Losses, unreduced: ``loss(prediction, target, ...) -> one value per example``, computed stably from logits."""

from fnnet.losses.classification import cross_entropy

__all__ = ["cross_entropy"]
