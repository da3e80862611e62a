"""Networks by name: compositions of layers that are made again and again, and rules of thumb for their widths."""

from fnnet.nets.classic import lenet, vgg
from fnnet.nets.detectors import center_head
from fnnet.nets.encoders import unet
from fnnet.nets.modern import convnext, convnext_block, vit
from fnnet.nets.perceptrons import Rule, mlp, widths
from fnnet.nets.residual import residual_block, resnet, resnet_cifar

__all__ = [
    "Rule",
    "center_head",
    "convnext",
    "convnext_block",
    "lenet",
    "mlp",
    "residual_block",
    "resnet",
    "resnet_cifar",
    "unet",
    "vgg",
    "vit",
    "widths",
]
