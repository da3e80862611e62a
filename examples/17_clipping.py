"""Does clipping let a recurrent net whose gradients explode learn at more rates, and better? Four ways, and none.

python examples/17_clipping.py [--seeds 8] [--steps 500] [--scale 1] [--plot clipping.png]

A ReLU net whose recurrent kernel is 1.2 times orthogonal reads digits in 16 steps of 4 pixels and learns by SGD. An
infinite bound never acts, so the runs of all ways are one program. Counted is over how many decades of the rate the
validation accuracy is enough, by straight lines between rates; the best rate by it is judged on test data.
"""

import argparse

import jax
import numpy as np
from scipy.special import stdtrit

import fnnet as fn

BOUNDS = {"clip_by_value": 0.1, "clip_by_global_norm": 1.0, "clip_by_leaf_norm": 1.0, "clip_adaptively": 0.1}
WAYS = ("none", *BOUNDS)
RATES, ENOUGH, SPIKE = 10 ** np.arange(-2, 0.6, 0.5), 0.6, 2 * np.log(10)  # a spike: twice the loss of guessing


def make_task(learning_rate, **bounds):
    clips = (getattr(fn.transforms, way)(bounds[way]) for way in BOUNDS)
    body = fn.rnn(16, activation=jax.nn.relu, recurrent_init=fn.initializers.orthogonal(1.2))
    net = fn.serial(lambda x: x.reshape(*x.shape[:-1], 16, 4), body, fn.layers.last_step(), fn.dense(10))
    optimizer = fn.transforms.chain(*clips, fn.sgd(learning_rate))
    return fn.Task(net, fn.losses.cross_entropy, optimizer, (fn.metrics.accuracy(),))


def runs(seeds, steps, scale):
    """Return validation and test accuracy, (ways, rates, seeds), and the columns of the history, steps last."""
    parts = fn.data.split(fn.data.digits(), (0.6, 0.2, 0.2), seed=0)
    bounds = [{name: scale * bound if name == way else np.inf for name, bound in BOUNDS.items()} for way in WAYS]
    points = [{"learning_rate": rate} | of_way for of_way in bounds for rate in RATES.tolist()]
    settings = {"steps": steps, "batch_size": 32, "seeds": seeds, "layout": "vmap", "validation": parts[1]}
    record = fn.Record(every=1, metrics=False, updates=True)
    result = fn.sweep(make_task, points, parts[0], key=jax.random.key(0), record=record, **settings).results[0]
    tested = jax.vmap(lambda state: fn.evaluate(make_task(**points[0]), state, parts[2]))(result.state)
    shape = (len(WAYS), len(RATES), seeds)
    accuracy = (np.nan_to_num(of["accuracy"]).reshape(shape) for of in (result.validation, tested))  # 0 for NaN
    return *accuracy, {name: np.asarray(column).reshape(*shape, steps) for name, column in result.history.items()}


def decades(accuracy):
    """Return by way and seed over how many decades of the rate the accuracy, (ways, rates, seeds), is enough."""
    ends = np.stack([accuracy[:, :-1], accuracy[:, 1:]]) - ENOUGH
    above, below = np.maximum(ends.max(0), 0), np.maximum(-ends.min(0), 0)
    return (np.diff(np.log10(RATES))[:, None] * above / np.maximum(above + below, 1e-9)).sum(1)


def shown(values):
    """Return the mean over seeds, the last axis, and its standard error, in words."""
    return f"{values.mean():.2f} ± {values.std(ddof=1) / np.sqrt(len(values)):.2f}"


def more(values, others):
    """Return by how much the values are more than others of the same seeds, with the 95% interval of Student's t."""
    apart = values - others
    half = stdtrit(len(apart) - 1, 0.975) * apart.std(ddof=1) / np.sqrt(len(apart))
    return f"{'more' if apart.mean() > half else 'not shown to be more'}: {apart.mean():+.2f} ± {half:.2f}"


def main(arguments=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--scale", type=float, default=1.0, help="of the bounds of clipping")
    parser.add_argument("--plot", metavar="FILE")
    options = parser.parse_args(arguments)
    validation, test, history = runs(options.seeds, options.steps, options.scale)
    width, best = decades(validation), validation.mean(-1).argmax(-1)
    final = test[np.arange(len(WAYS)), best]
    chosen = (validation[1:].mean((0, 2)) - validation[0].mean(-1)).argmax()  # the rate where clipping gains most
    loss, norm = history["loss"], history["grad_norm"][:, chosen]
    lost, spiked = ~np.isfinite(loss[..., -1]), ~(loss < SPIKE).all(-1)
    with np.errstate(all="ignore"):
        left = history["update_ratio"][:, chosen] * history["param_norm"][:, chosen] / RATES[chosen] / norm

    print(f"validation accuracy after {options.steps} steps, mean ± standard error over {options.seeds} seeds; rates:")
    print(" " * 20, *(f"{rate:<12.2g}" for rate in RATES), sep="  ")
    for way, values in zip(WAYS, validation, strict=True):
        print(f"{way:20s}", *(shown(of_rate) for of_rate in values), sep="  ")
    for n, (way, rate) in enumerate(zip(WAYS, RATES[best], strict=True)):
        print(f"{way}: {lost[n].sum()} of {lost[n].size} runs end not finite,", end=" ")
        print(f"{spiked[n].sum()} had a loss above {SPIKE:.1f} or not finite")
        print(f"  norm of the gradient at {RATES[chosen]:.2g}: median {np.nanmedian(norm[n]):.1f}, at most", end=" ")
        print(f"{np.nanmax(norm[n]):.2g}; {np.nanmedian(left[n]):.0%} is left after clipping, median")
        print(f"  at least {ENOUGH} over {shown(width[n])} decades; test accuracy {shown(final[n])} at {rate:.2g}")
        if n:
            print(f"  than without clipping: decades {more(width[n], width[0])}; accuracy {more(final[n], final[0])}")
    if options.plot:
        draw(validation, norm, RATES[chosen]).savefig(options.plot)
    return {"validation": validation, "test": test, "decades": width, "lost": lost, "norm": norm, "left": left}


def draw(accuracy, norm, rate):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.8), layout="constrained")
    axes, right = figure.subplots(1, 2)
    colours = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7")
    for way, values, colour, style in zip(WAYS, accuracy, colours, ("o-", "s--", "^-.", "D:", "v-"), strict=True):
        mean, error = values.mean(-1), values.std(-1, ddof=1) / np.sqrt(values.shape[-1])
        axes.errorbar(RATES, mean, error, fmt=style, ms=4, capsize=2, color=colour, label=way)
    for n in (2, 0):
        right.plot(norm[n, :2].T, color=colours[n], lw=0.8, alpha=0.8, label=[WAYS[n], None])
    axes.set(xscale="log", xlabel="learning rate", ylabel="validation accuracy, ± standard error", title="digits")
    right.set(yscale="log", xlabel="step", ylabel="norm of the gradient", title=f"two seeds, at a rate of {rate:.2g}")
    for panel in (axes, right):
        panel.grid(visible=True, alpha=0.3)
        panel.legend(fontsize="small")
    return figure


if __name__ == "__main__":
    main()
