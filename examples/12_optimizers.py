"""The lecture's table of optimizers, measured: how soon each is at a target loss, and how good the end is.

python examples/12_optimizers.py [--quick] [--seeds 8] [--plot optimizers.png]

Each rule has a rate of its own for each problem and question: the best, by the first seeds, of a grid of four decades.
What is said of it is from the other seeds. The problems are in optimizers/problems.py, what a full run prints in
docs/gallery/12_optimizers.txt.
"""

import argparse

import numpy as np
from optimizers.measure import bootstrap, runs, stars, tuned
from optimizers.problems import LECTURE, PROBLEMS, RULES

DECADES = 2.0  # of the grid of rates, to each side of its middle
QUICK = ("SGD", "momentum", "Adam")


def measured(names, problems, rates, seeds, tuning):
    """Return log steps and less the worth at the end, (rules, problems, seeds), and which rates were edges."""
    quick, good, edges = [], [], []
    for name in names:
        rule, middle = RULES[name]
        row = {p: runs(rule, middle * rates, PROBLEMS[p], seeds) for p in problems}
        chosen = {p: tuned(found, tuning) for p, found in row.items()}
        quick.append([np.log(row[p].steps[chosen[p][0], tuning:]) for p in problems])
        good.append([-row[p].test[chosen[p][1], tuning:] for p in problems])
        edges += [(name, p) for p in problems if {*chosen[p]} & {0, len(rates) - 1}]
        shown = (f"{p} {rates[a] * middle:.2g} / {rates[b] * middle:.2g}" for p, (a, b) in chosen.items())
        print(f"  {name:9s} rates, quickest / best: {'; '.join(shown)}", flush=True)
    return np.array(quick), np.array(good), edges


def table(title, names, problems, values, shown, column):
    """Print a line a rule, best first, and where the lecture's stars are outside the interval; return the records."""
    mean, low, high = bootstrap(values)
    print(f"\n{title}\n{'':10s}" + "".join(f"{p:>12s}" for p in problems) + "   mean rank [95 %]      stars  lecture")
    records = []
    for n in np.argsort(mean, kind="stable"):
        name, own = names[n], {stars(rank, len(names)) for rank in (low[n], mean[n], high[n])}
        said = LECTURE[name][column] if name in LECTURE else ()
        agrees = not said or any(min(own) <= count <= max(own) for count in said)
        records.append({"name": name, "rank": mean[n], "low": low[n], "high": high[n], "agrees": agrees})
        cells = "".join(f"{shown(*pair):>12s}" for pair in zip(problems, values[n].mean(-1), strict=True))
        text = " or ".join("★" * s for s in said) or "–"
        interval = f"{mean[n]:5.1f} [{low[n]:4.1f}, {high[n]:4.1f}]"
        print(f"{name:10s}{cells}   {interval}   {'★' * stars(mean[n], len(names)):6s} {text}{'' if agrees else '  ≠'}")
    apart = [record["name"] for record in records if not record["agrees"]]
    print(f"the lecture's stars are outside the interval for: {', '.join(apart) or 'none'}")
    return records


def end(problem, value):
    return f"{-value:.3f}" if PROBLEMS[problem].quality == "accuracy" else f"{10**value:.1e}"


def main(arguments=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="three rules and one problem")
    parser.add_argument("--seeds", type=int, default=8, help="of which three eighths are for tuning")
    parser.add_argument("--rates", type=int, default=9)
    parser.add_argument("--plot", metavar="FILE")
    options = parser.parse_args(arguments)

    names = QUICK if options.quick else tuple(RULES)
    problems = ("quadratic",) if options.quick else tuple(PROBLEMS)
    rates, tuning = np.logspace(-DECADES, DECADES, options.rates), max(1, 3 * options.seeds // 8)
    print(f"{options.seeds - tuning} seeds measured, {tuning} others to tune; {options.rates} rates a rule")
    quick, good, edges = measured(names, problems, rates, options.seeds, tuning)
    print(f"at an edge of its grid: {', '.join(f'{name} on {p}' for name, p in edges) or 'none'}")
    targets = ", ".join(f"{p} {PROBLEMS[p].target} within {PROBLEMS[p].steps}" for p in problems)
    print("★★★: mean rank in the first third of all ranks, ★★ in the second, ★ in the last; [95 %]: bootstrap of seeds")
    title = f"steps to a training loss, geometric mean: {targets}"
    speed = table(title, names, problems, quick, lambda _, log_steps: f"{np.exp(log_steps):.0f}", 0)
    quality = table("at the end: test accuracy; of the quadratic the loss", names, problems, good, end, 1)
    if options.plot:
        draw(speed, quality).savefig(options.plot)
    return {"speed": speed, "quality": quality, "log_steps": quick, "worth": -good}


def draw(*tables):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.6 + 0.25 * len(tables[0])), layout="constrained")
    for axes, title, records in zip(figure.subplots(1, 2), ("speed", "quality at the end"), tables, strict=True):
        count = len(records)
        for row, record in enumerate(records):
            colour, marker = ("#0072B2", "o") if record["agrees"] else ("#D55E00", "D")
            error = [[record["rank"] - record["low"]], [record["high"] - record["rank"]]]
            axes.errorbar(record["rank"], row, xerr=error, fmt=marker, color=colour, capsize=2)
        for part in (1, 2):
            axes.axvline(1 + part * (count - 1) / 3, color="0.6", linestyle=":")
        axes.set_yticks(range(count), [record["name"] for record in records])
        axes.set(title=title, xlabel="mean rank, bootstrap 95 %", ylim=(count - 0.5, -0.5))
    figure.supxlabel(
        "dotted: from ★★★ to ★★ to ★; orange diamond: the lecture's stars are outside the interval", fontsize=8
    )
    return figure


if __name__ == "__main__":
    main()
