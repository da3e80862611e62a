"""Is backpropagation, written as its recursion, the gradient? Beside reverse mode and central finite differences.

python examples/10_backpropagation.py [--examples 64] [--plot backpropagation.png]

With examples in rows, Zₗ = Aₗ₋₁Wₗ + bₗ and Aₗ = φ(Zₗ), the formulas of columns are transposed.
"""

import argparse
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import fnnet as fn

TANH = next(row for row in fn.activations.TABLE if row.name == "tanh")
WIDTHS = {"two layers": (16, 10), "six layers": (16, 16, 16, 16, 16, 10)}
STEPS = np.logspace(-12, 0, 49)


def forward(params, x):
    """Return Z₁ … Z_L and A₀ … A_L, A₀ being the input."""
    z, a = [], [x]
    for layer in params.values():
        z.append(a[-1] @ layer["kernel"] + layer["bias"][None])
        a.append(TANH.function(z[-1]))
    return z, a


def backward(params, z, a, y):
    """Return ∂J/∂W and ∂J/∂b of every layer, for J the mean squared error over examples and outputs."""
    slopes = [TANH.derivative(value) for value in z]
    delta = 2 / y.size * (a[-1] - y) * slopes[-1]  # δ_L = ∇_A J ⊙ φ'(Z_L)
    grads = {}
    for n, (name, layer) in reversed(list(enumerate(params.items()))):
        grads[name] = {"kernel": a[n].T @ delta, "bias": delta.sum(0)}  # ∂J/∂Wₗ = Aₗ₋₁ᵀ δₗ
        if n:
            delta = (delta @ layer["kernel"].T) * slopes[n - 1]  # δₗ₋₁ = (δₗ Wₗᵀ) ⊙ φ'(Zₗ₋₁)
    return {name: grads[name] for name in params}


def relative(got, expected):
    return float(fn.tree.norm(jax.tree.map(jnp.subtract, got, expected)) / fn.tree.norm(expected))


@partial(jax.jit, static_argnums=0)
def differences(objective, params, direction, steps):
    """Return the central difference of the objective along a direction, by the size of the step."""

    def at(h):
        return objective(jax.tree.map(lambda p, v: p + h * v, params, direction))

    return jax.lax.map(lambda h: (at(h) - at(-h)) / (2 * h), steps)


def compared(widths, x, y):
    """Return by layer the error of the recursion beside ``jax.grad``, and of differences by step size beside it."""
    net = fn.serial(*(fn.dense(width, activation=jnp.tanh) for width in widths))
    params, _ = net.init(jax.random.key(0), x)

    def objective(params):
        return fn.losses.squared_error(net(params, x), y).mean()

    expected = jax.jit(jax.grad(objective))(params)
    grads = jax.jit(lambda params: backward(params, *forward(params, x), y))(params)
    exact = {name: relative(grads[name], expected[name]) for name in params}
    numeric = {}
    for name in params:  # along the layer's own gradient: the slope is its norm, so no small number divides the error
        norm = fn.tree.norm(grads[name])
        along = fn.tree.zeros_like(params) | {name: fn.tree.scale(1 / norm, grads[name])}
        slopes = differences(objective, params, along, jnp.asarray(STEPS, x.dtype))
        numeric[name] = np.asarray(jnp.abs(slopes - norm) / norm, np.float64)
    return exact, numeric


def main(arguments=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--examples", type=int, default=64)
    parser.add_argument("--plot", metavar="FILE")
    options = parser.parse_args(arguments)
    digits = fn.data.take(fn.data.digits(), np.arange(options.examples))
    exact, numeric, exponent = {}, {}, {}
    for dtype in ("float32", "float64") if jax.config.jax_enable_x64 else ("float32",):
        x, y = jnp.asarray(digits.x, dtype), jax.nn.one_hot(digits.y, 10, dtype=dtype)
        for name, widths in WIDTHS.items():
            exact[dtype, name], numeric[dtype, name] = compared(widths, x, y)
            print(f"{name}, {dtype}, {options.examples} digits: relative error")
            for layer, errors in numeric[dtype, name].items():
                best = f"differences {errors.min():.0e}, at a step of {STEPS[errors.argmin()]:.0e}"
                print(f"  {layer}  recursion beside jax.grad {exact[dtype, name][layer]:.0e}; {best}")
            middle = np.median(list(numeric[dtype, name].values()), axis=0)
            large = (3 * STEPS[middle.argmin()] < STEPS) & (STEPS <= 0.1)
            exponent[dtype, name] = np.polyfit(np.log(STEPS[large]), np.log(middle[large]), 1)[0]
            print(f"  beyond its best step the error of differences grows as that to the {exponent[dtype, name]:.2f}")
    if options.plot:
        draw(numeric).savefig(options.plot)
    return {"exact": exact, "numeric": numeric, "exponent": exponent}


def draw(numeric):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 4), layout="constrained")
    axes = figure.subplots()
    for (dtype, name), errors in numeric.items():
        style = {"float32": "o", "float64": "s"}[dtype] + {"two layers": "-", "six layers": "--"}[name]
        colour = {"float32": "#D55E00", "float64": "#0072B2"}[dtype]
        middle = np.median(list(errors.values()), axis=0)
        axes.loglog(STEPS, middle, style, ms=3, color=colour, label=f"{dtype}, {name}")
    axes.set(xlabel="step", ylabel="relative error, median over layers", title="central differences")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize=8)
    return figure


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main()
