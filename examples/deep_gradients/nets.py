"""Deep nets that differ in a few numbers: a plain one, one for each cure, those of several, and other ills."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

import fnnet as fn

WIDTH = 32


class Net(NamedTuple):
    """What is chosen of a net and its training: numbers, which may be traced, and one structure, `batch_norm`.

    Kernels are normal, of variance `gain` over the number of inputs. Where a layer has as many outputs as inputs,
    Glorot's variance, which the library's table gives to the sigmoid, is that of a gain of 1, and He's that of 2.
    """

    relu: float = 0.0
    gain: float = 0.3
    centred: float = 0.0
    bias: float = 0.0
    skip: float = 0.0
    max_norm: float = math.inf
    batch_norm: bool = False


PLAIN = "plain: sigmoid, small weights"
ALONE = {  # one cure each
    "Glorot's variance": Net(gain=1.0),
    "centred weights, gain 16": Net(gain=16.0, centred=1.0),
    "ReLU": Net(relu=1.0),
    "batch norm": Net(batch_norm=True),
    "skip connections": Net(skip=1.0),
    "clipping": Net(max_norm=1.0),
}
HE, TOGETHER = "ReLU, He's variance", "all together"
LARGE, CLIPPED, DEAD = "ReLU, gain 8", "ReLU, gain 8, clipping", "ReLU, He's variance, bias -2"
NETS = {
    PLAIN: Net(),
    **ALONE,
    HE: Net(relu=1.0, gain=2.0),
    TOGETHER: Net(relu=1.0, gain=2.0, skip=1.0, max_norm=1.0, batch_norm=True),
    LARGE: Net(relu=1.0, gain=8.0),
    CLIPPED: Net(relu=1.0, gain=8.0, max_norm=1.0),
    DEAD: Net(relu=1.0, gain=2.0, bias=-2.0),
}


def make_task(net, depth):
    """Return the task of a net of `depth` hidden layers, of which all but the first are one block, repeated."""

    def kernel(key, shape, dtype):
        drawn = fn.initializers.variance_scaling(net.gain, "fan_in", "normal")(key, shape, dtype)
        # Weights of a unit that add up to 0 lose the mean of its inputs, 1/2 for sigmoids.
        return drawn - net.centred * drawn.mean(0, keepdims=True)

    def activation(z):
        return jnp.where(net.relu, jax.nn.relu(z), jax.nn.sigmoid(z))

    affine = fn.dense(WIDTH, kernel_init=kernel, bias_init=fn.initializers.constant(net.bias))
    # A run of few steps: running statistics that forget the start soon.
    norm = (fn.batch_norm(momentum=0.9),) if net.batch_norm else ()
    hidden = fn.serial(affine, *norm, activation)
    block = fn.residual(hidden, shortcut=lambda x: net.skip * x)
    layers = fn.serial(first=hidden, body=fn.repeat(fn.serial(block=block), depth - 1), head=fn.dense(10))
    rule = fn.transforms.chain(fn.transforms.clip_by_global_norm(net.max_norm), fn.sgd(0.0, momentum=0.9))
    return fn.Task(layers, fn.losses.cross_entropy, rule)
