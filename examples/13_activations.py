"""The table of activations: formula, derivative, range, saturation, initializer, use, and speed beside ReLU.

python examples/13_activations.py [--size 262144] [--rounds 30] [--plot activations.png]

What the library's table says is checked in float64 on a grid: the derivative by differences, the range by the least and
largest value, the saturation by the derivative far out. Speeds are those of this machine, medians of interleaved calls.
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np

import fnnet as fn

GRID, FAR, STEP = np.linspace(-8, 8, 1000), 40.0, 1e-5  # no point of the grid is within a step of a kink
INITIALIZERS = {getattr(fn.initializers, name)(): name for name in ("he_normal", "lecun_normal", "glorot_uniform")}
USES = dict.fromkeys(("step", "sign"), "theory") | {
    "straight_through_step": "binary units",
    "straight_through_sign": "binary units",
    "identity": "last layer, regression",
    "sigmoid": "last layer, binary; gates",
    "tanh": "last layer in [-1, 1]; recurrent",
    "softplus": "last layer, above 0",
}


def checked(row):
    """Return what of the table's row the function itself says, in float64."""
    with jax.enable_x64(True):
        values = np.asarray(jax.vmap(row.function)(jnp.asarray([-FAR, *GRID, FAR])))
        difference = (row.function(jnp.asarray(GRID + STEP)) - row.function(jnp.asarray(GRID - STEP))) / (2 * STEP)
        error = float(jnp.abs(row.derivative(jnp.asarray(GRID)) - difference).max())
        traced = jax.vmap(jax.grad(row.function))(jnp.asarray(GRID))
        reverse = float(jnp.abs(row.derivative(jnp.asarray(GRID)) - traced).max())
        left, right = np.abs(row.derivative(jnp.asarray([-FAR, FAR]))) < 1e-9
    saturates = {(0, 0): "nowhere", (1, 0): "left", (0, 1): "right", (1, 1): "both"}[int(left), int(right)]
    inside = values.min() >= row.range[0] - 1e-7 and values.max() <= row.range[1] + 1e-7
    return {"difference": error, "reverse": reverse, "saturates": saturates, "inside": inside}


def programs(function):
    """Return the compiled forward pass and the backward pass that follows it."""
    backward = jax.jit(lambda x: jax.vjp(function, x)[1](jnp.ones_like(x))[0])
    return jax.jit(function), backward


def speeds(functions, size, rounds):
    """Return by name the median seconds of a forward and of a backward pass; each round times all, one by one."""
    x = jax.random.normal(jax.random.key(0), (size,))
    passes = [(name, n, call) for name, f in functions.items() for n, call in enumerate(programs(f))]
    found = {name: ([], []) for name in functions}
    for _, _, call in passes:
        call(x).block_until_ready()
    for _ in range(rounds):
        for name, n, call in passes:
            start = time.perf_counter()
            call(x).block_until_ready()
            found[name][n].append(time.perf_counter() - start)
    return {name: tuple(np.median(times) for times in pair) for name, pair in found.items()}


def main(arguments=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=2**18, help="elements of the array that is timed")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--plot", metavar="FILE")
    options = parser.parse_args(arguments)
    table = fn.activations.TABLE
    checks = {row.name: checked(row) for row in table}
    seconds = speeds({row.name: row.function for row in table}, options.size, options.rounds)
    ratios = {name: tuple(np.divide(times, seconds["relu"])) for name, times in seconds.items()}
    print(f"time: forward / backward as multiples of ReLU's, {options.size} elements, medians of {options.rounds}")
    print(f"{'':22s}{'derivative':>11s}  {'range':16s}{'saturates':11s}{'initializer':16s}{'time':12s}use")
    for row in table:
        own = checks[row.name]
        cells = "({:.3g}, {:.3g})".format(*row.range).replace("inf", "∞"), row.saturates
        shown = "{:16s}{:11s}{:16s}".format(*cells, INITIALIZERS.get(row.initializer, "scaled"))
        time_ = "{:.1f} / {:.1f}".format(*ratios[row.name])
        print(f"{row.name:22s}{own['difference']:11.0e}  {shown}{time_:12s}{USES.get(row.name, 'hidden layers')}")
    reverse = max(own["reverse"] for own in checks.values())
    print(f"derivatives differ from those of reverse mode by at most {reverse:.0e}")
    unlike = [name for name, own in checks.items() if own["difference"] > 1e-6]
    print(f"derivatives that differences do not bear out: {', '.join(unlike) or 'none'}")
    unlike = [row.name for row in table if row.saturates != checks[row.name]["saturates"]]
    print(f"saturation unlike the table's: {', '.join(unlike) or 'none'}")
    for name in ("sigmoid", "tanh"):  # slow, by the lecture
        verdict = "slower both ways" if min(ratios[name]) > 1.2 else "not slower both ways"
        print(f"{name}: {verdict} than 1.2 times ReLU's time here")
    for row in table:
        print(f"  {row.name}(x) = {row.formula}")
    if options.plot:
        fn.plotting.activation_table(title="activations and their derivatives").savefig(options.plot)
    return {"checks": checks, "ratios": ratios}


if __name__ == "__main__":
    main()
