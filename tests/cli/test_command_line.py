"""The command line, as someone uses it: train, look, evaluate, predict; and every mistake gets one clear line."""

from __future__ import annotations

import csv
import os
import pathlib
import re
import signal
import subprocess
import sys
import tomllib

import numpy as np
import pytest
from safetensors.numpy import load_file

import fnnet as fn

QUICK = ("--epochs", "2", "--hidden", "8", "--quiet")


def read_rows(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def write_animals(path, rows=60, seed=0):
    """Write a table with a number that tells the class, a category, and a number that says nothing."""
    rng = np.random.default_rng(seed)
    kinds = rng.choice(["cat", "dog"], rows)
    weight = np.where(kinds == "cat", 4, 20) + rng.normal(0, 1, rows)
    colours = rng.choice(["black", "white"], rows)
    fn.data.write_csv(path, {"weight": weight, "colour": colours, "noise": rng.normal(size=rows), "kind": kinds})


def test_digits_from_end_to_end(fnnet, tmp_path):
    """Train on digits; the run directory is whole; evaluate repeats the printed test metrics."""
    code, out, err = fnnet("train", "digits", "--epochs", "12", "--hidden", "64", "--learning-rate", "0.003")
    assert code == 0, err
    run = tmp_path / "runs" / "digits"
    assert {path.name for path in run.iterdir()} == {"config.toml", "weights.safetensors", "history.csv", "curves.png"}
    accuracy = float(re.search(r"accuracy\W+([\d.]+)", out)[1])
    assert accuracy > 0.94
    assert "epoch 12/12" in err
    config = tomllib.loads((run / "config.toml").read_text())
    assert (config["format"], config["settings"]["hidden"], config["settings"]["optimizer"]) == (1, [64], "adam")
    assert abs(config["test"]["accuracy"] - accuracy) < 1e-4
    assert load_file(run / "weights.safetensors")["params/dense_0/kernel"].shape == (64, 64)
    history = read_rows(run / "history.csv")
    assert len(history) == 12
    assert {"epoch", "step", "loss", "val_loss", "val_accuracy"} <= set(history[0])
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")
    code, out, err = fnnet("evaluate", "runs/digits", "digits", "--part", "test")
    assert abs(float(re.search(r"accuracy\W+([\d.]+)", out)[1]) - accuracy) < 1e-4
    code, out, err = fnnet("summary", "runs/digits")
    assert "parameters   4,810" in out
    assert re.search(r"dense_0\W+\(32, 64\)\W+float32\W+4,160", out)
    assert re.search(r"FLOPs +\d", out)


def test_the_same_seed_gives_the_same_run(fnnet, tmp_path):
    """Two runs of one seed have equal weights, bit for bit; another seed has others."""
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert fnnet("train", "iris", *QUICK, "--seed", seed, "--out", name)[0] == 0
    a, b, c = (load_file(tmp_path / name / "weights.safetensors") for name in "abc")
    assert all(np.array_equal(a[name], b[name]) for name in a)
    assert not np.array_equal(a["params/head/kernel"], c["params/head/kernel"])


def test_ones_own_table(fnnet, tmp_path):
    """A CSV with categories: classes by name, whatever the order of the columns in the file to predict."""
    write_animals("animals.csv")
    code, _, err = fnnet("train", "animals.csv", "--target", "kind", "--epochs", "40", "--out", "run", "--quiet")
    assert code == 0, err
    (tmp_path / "new.csv").write_text("noise,colour,weight\n0.1,white,4.2\n-1,black,19\n0,green,21\n")
    code, out, err = fnnet("predict", "run", "new.csv")
    assert code == 0, err
    rows = list(csv.DictReader(out.splitlines()))
    assert [row["class"] for row in rows] == ["cat", "dog", "dog"]
    assert err == "warning: column 'colour': 'green' not seen in training, taken as no category.\n"
    for row in rows:
        assert abs(float(row["p(cat)"]) + float(row["p(dog)"]) - 1) < 1e-6
    assert fnnet("predict", "run", "new.csv", "--out", "p.csv")[0] == 0
    assert read_rows(tmp_path / "p.csv") == rows
    assert fnnet("predict", "run", "new.csv", "--out", "p.npz")[0] == 0
    with np.load(tmp_path / "p.npz") as saved:
        assert saved["class"].tolist() == ["cat", "dog", "dog"]


def test_the_row_of_a_value_that_is_not_finite_is_that_of_the_file(fnnet, tmp_path):
    """Whatever the split did to the order, so that it can be found and mended."""
    x = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    x[41, 2] = np.nan
    np.savez(tmp_path / "own.npz", x=x, y=np.arange(60) % 2)
    code, _, err = fnnet("train", "own.npz", *QUICK)
    assert code == 1
    assert "own.npz (data): x must be finite, got nan at row 41, column 2" in err
    y = np.random.default_rng(0).normal(size=60)
    np.savez(tmp_path / "ys.npz", x=np.nan_to_num(x), y=y)
    assert fnnet("train", "ys.npz", *QUICK, "--out", "run")[0] == 0
    y[17] = np.nan
    np.savez(tmp_path / "ys.npz", x=np.nan_to_num(x), y=y)
    for command in (("train", "ys.npz", *QUICK), ("evaluate", "run", "ys.npz")):
        code, _, err = fnnet(*command)
        assert code == 1
        assert "ys.npz (data): y must be finite, got nan at row 17" in err
    assert fnnet("predict", "run", "ys.npz")[0] == 0  # what is not known is what is asked


def test_images_are_predicted_without_their_labels(fnnet, tmp_path):
    """Training and evaluation need the labels' file, and say where; prediction does not."""
    images = np.random.default_rng(0).integers(0, 256, (60, 4, 4)).astype(np.uint8)
    (tmp_path / "a-images-idx3-ubyte").write_bytes(
        bytes([0, 0, 8, 3, 0, 0, 0, 60, 0, 0, 0, 4, 0, 0, 0, 4, *images.flat])
    )
    code, _, err = fnnet("train", "a-images-idx3-ubyte", *QUICK, "--out", "run")
    assert code == 1
    assert "has no targets\n  Fix: put the file of labels beside it" in err
    labels = tmp_path / "a-labels-idx1-ubyte"
    labels.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 60, *(n % 3 for n in range(60))]))
    assert fnnet("train", "a-images-idx3-ubyte", *QUICK, "--out", "run")[0] == 0
    labels.unlink()
    code, out, err = fnnet("predict", "run", "a-images-idx3-ubyte")
    assert (code, err) == (0, "")
    assert len(out.splitlines()) == 61
    assert fnnet("evaluate", "run", "a-images-idx3-ubyte")[0] == 1


def test_regression_is_in_the_units_of_the_target(fnnet):
    """On diabetes the predictions are near the targets' own scale, and R² is above that of the mean."""
    options = ("--epochs", "60", "--hidden", "", "--learning-rate", "0.01", "--quiet", "--out", "run")
    assert fnnet("train", "diabetes", *options)[0] == 0
    _, out, _ = fnnet("evaluate", "run", "diabetes", "--part", "test")
    assert float(re.search(r"r2\W+(-?[\d.]+)", out)[1]) > 0.3
    _, out, _ = fnnet("predict", "run", "diabetes")
    values = [float(row["prediction"]) for row in csv.DictReader(out.splitlines())]
    assert 100 < np.mean(values) < 200


RULES = [("sgd", "cosine"), ("lion", "one_cycle"), ("muon", "linear"), ("adamw", "exponential"), ("lamb", "constant")]


@pytest.mark.parametrize(("optimizer", "schedule"), RULES)
def test_optimizers_and_schedules(fnnet, optimizer, schedule):
    """Every schedule, and optimizers of every kind."""
    code, _, err = fnnet("train", "iris", *QUICK, "--optimizer", optimizer, "--schedule", schedule)
    assert code == 0, err


def test_runs_do_not_overwrite_each_other(fnnet, tmp_path):
    """Without --out the next free name is taken; a run is replaced only if asked, other files never."""
    for _ in range(2):
        assert fnnet("train", "iris", *QUICK)[0] == 0
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["iris", "iris-2"]
    code, _, err = fnnet("train", "iris", *QUICK, "--out", "runs/iris")
    assert code == 2
    assert "add --overwrite" in err
    assert fnnet("train", "iris", *QUICK, "--out", "runs/iris", "--overwrite")[0] == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    code, _, err = fnnet("train", "iris", *QUICK, "--out", "mine", "--overwrite")
    assert code == 2
    assert "holds other files" in err
    assert fnnet("train", "iris", *QUICK, "--out", "mine/thesis.tex")[0] == 2
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years of work"


HELP = {
    "train": ("--learning-rate", "0.001", "one_cycle", "breast_cancer", "--batch-size", "32", "128", "adam", "30"),
    "evaluate": ("RUN", "SOURCE", "--part", "all"),
    "predict": ("RUN", "SOURCE", "--out", "standard output"),
    "summary": ("RUN|SOURCE", "--hidden", "128", "--batch-size", "32"),
}


@pytest.mark.parametrize("command", HELP)
def test_help_shows_defaults_and_choices(fnnet, command):
    code, out, _ = fnnet(command, "--help")
    assert code == 0
    for word in HELP[command]:
        assert word in out


@pytest.mark.parametrize(
    ("words", "expected"),
    [("fnnet tr", ["train"]), ("fnnet train --sch", ["--schedule"]), ("fnnet train --optimizer adag", ["adagrad"])],
)
def test_the_shell_completes_commands_options_and_choices(words, expected):
    """As bash asks for it: by variables of the environment of a process of its own."""
    asked = {"_FNNET_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    code = "import sys; sys.argv = ['fnnet']; from fnnet.cli import main; main()"
    answer = subprocess.run([sys.executable, "-c", code], env=os.environ | asked, capture_output=True, text=True)
    assert answer.stdout.split() == expected


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("train", "digit"), 1, ["did you mean 'digits'?"]),
        (("train", "absent.csv"), 1, ["absent.csv", "no such file"]),
        (("train", "iris", "--hidden", "8,x"), 2, ["--hidden", "positive whole numbers", "8,x"]),
        (("train", "iris", "--hidden", "0"), 2, ["--hidden"]),
        (("train", "iris", "--activation", "rellu"), 2, ["rellu"]),
        (("train", "iris", "--epochs", "0"), 2, ["--epochs"]),
        (("train", "iris", "--learning-rate", "-1", "--quiet"), 2, ["--learning-rate", "greater than or equal"]),
        (("train", "iris", "--batch-size", "400", "--quiet"), 1, ["batch_size of at most the 105", "got 400"]),
        (("evaluate", "nowhere", "iris"), 1, ["nowhere", "not a run directory"]),
        (("nonsense",), 2, ["nonsense"]),
        (("train", "iris", "--target", "species"), 1, ["iris: is a built-in data set", "leave out --target"]),
        (("train", "iris", "--hidden", "9" * 30, "--quiet"), 2, ["--hidden"]),
        (("train", "iris", "--seed", "9" * 30), 2, ["--seed"]),
        (("predict", "run", "iris", "--out", "p.parquet"), 2, ["must end in .csv or .npz, got 'p.parquet'"]),
        (("predict", "run", "iris", "--out", "absent/p.csv"), 2, ["absent is not a directory"]),
    ],
)
def test_mistakes(fnnet, arguments, code, words):
    """The exit code says whose mistake it was: 1 for the data, 2 for the usage; the message what to do."""
    got, _, err = fnnet(*arguments)
    assert got == code
    for word in words:
        assert word in err
    assert "Traceback" not in err


def test_missing_target_column(fnnet):
    write_animals("animals.csv")
    code, _, err = fnnet("train", "animals.csv", "--target", "kindd", "--quiet")
    assert code == 1
    assert "did you mean 'kind'?" in err


def test_damaged_and_newer_runs(fnnet, tmp_path):
    """A run of a newer format, a damaged one, and one whose files are of two runs are refused, each with its reason."""
    assert fnnet("train", "iris", *QUICK, "--out", "run")[0] == 0
    assert fnnet("train", "iris", "--epochs", "1", "--hidden", "4", "--quiet", "--out", "other")[0] == 0
    config = tmp_path / "run" / "config.toml"
    whole = config.read_text()
    for text, words in (
        (whole.replace("format = 1", "format = 2"), "of format 2, expected at most 1"),
        (whole.replace("format = 1", ""), "no format number"),
        (whole.replace("optimizer", "optimiser"), "wrong entry"),
        (whole.replace('"adam"', '"adman"'), "wrong entry"),
        (whole.replace("outputs = 3", "outputs = 4"), "wrong entry"),
        (whole.replace(" scale = ", " scales = "), "wrong entry (is not a saved schema"),
        (whole + "[", "is damaged"),
    ):
        config.write_text(text)
        code, _, err = fnnet("evaluate", "run", "iris")
        assert code == 1
        assert words in err
    config.write_text(whole)
    assert fnnet("evaluate", "run", "iris")[0] == 0
    config.write_text((tmp_path / "other" / "config.toml").read_text())
    code, _, err = fnnet("evaluate", "run", "iris")
    assert code == 1
    assert "weights are not of the network" in err
    config.write_text(whole)
    weights = tmp_path / "run" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    code, _, err = fnnet("evaluate", "run", "iris")
    assert code == 1
    assert "Traceback" not in err


def test_evaluate_needs_targets(fnnet, tmp_path):
    write_animals("animals.csv")
    code, _, err = fnnet("train", "animals.csv", *QUICK, "--out", "run")
    assert code == 1
    assert "pass --target with one of the columns 'weight', 'colour', 'noise', 'kind'" in err
    assert fnnet("train", "animals.csv", "--target", "kind", *QUICK, "--out", "run")[0] == 0
    (tmp_path / "new.csv").write_text("noise,colour,weight\n0.1,white,4.2\n")
    code, _, err = fnnet("evaluate", "run", "new.csv")
    assert code == 1
    assert "kind" in err or "target" in err
    assert fnnet("evaluate", "run", "animals.csv", "--part", "most")[0] == 2


def test_summary_of_a_source(fnnet):
    """Before training, summary shows the network that train would make."""
    code, out, _ = fnnet("summary", "diabetes", "--hidden", "16,4", "--batch-size", "1")
    assert code == 0
    assert "parameters   249" in out
    assert "body/dense_1" in out


def test_doctor(fnnet):
    """A sound run has no finding; of a deep net of sigmoids the layer and the cure are named."""
    assert fnnet("train", "digits", *QUICK, "--learning-rate", "0.01", "--out", "sound")[0] == 0
    code, out, _ = fnnet("doctor", "sound", "digits", "--examples", "100")
    assert code == 0
    assert out.splitlines() == [f"{when}: nothing found in 100 examples" for when in ("as it was begun", "as it is")]
    deep = ("--hidden", ",".join(["16"] * 8), "--activation", "sigmoid", "--out", "deep")
    assert fnnet("train", "digits", *QUICK, *deep)[0] == 0
    code, out, _ = fnnet("doctor", "deep", "digits")
    assert code == 0
    assert "as it was begun: " in out
    assert "- vanishing gradients at dense_0/z: " in out
    assert "Cure: fn.activations.relu" in out
    code, _, err = fnnet("doctor", "deep", "iris")
    assert code == 1
    assert err.startswith("error: ")


def test_version(fnnet):
    code, out, _ = fnnet("--version")
    assert code == 0
    assert fn.__version__ in out


TABLES = {
    "one class": ("x,t\n" + "1,a\n2,a\n" * 30, "target: expected at least 2 classes, got 1"),
    "two rows": ("x,t\n1,a\n2,b\n", "split: every part must have a row, got parts of (2, 0, 0) of 2 rows"),
    "five rows": ("x,t\n" + "1,a\n" * 3 + "2,b\n" * 2, "the training part: expected batch_size of at most the 3"),
    "infinite": ("x,t\n1,a\ninf,b\n", "column 'x', line 3: expected a finite number, got 'inf'"),
    "infinite target": ("x,t\n1,2.5\n2,-inf\n", "column 't', line 3: expected a finite number, got '-inf'"),
    "large target": ("x,t\n1,2.5\n2,1e300\n", "must be within the range of float32 (3.4e38), got 1e+300 at row 1"),
}


@pytest.mark.parametrize(("text", "words"), TABLES.values(), ids=TABLES)
def test_tables_that_cannot_be_learnt_from(fnnet, tmp_path, text, words):
    """The error comes before the training, and leaves no directory."""
    (tmp_path / "own.csv").write_text(text)
    code, _, err = fnnet("train", "own.csv", "--target", "t", *QUICK)
    assert code == 1
    assert words in err
    assert not (tmp_path / "runs").exists()


def test_missing_cells_and_the_kind_of_the_target_can_be_told(fnnet, tmp_path):
    """With --missing mean gaps are filled in training and in use; --regression takes whole numbers as numbers."""
    rows = "".join(f"{n if n % 7 else ''},{'ab'[n % 2]},{n % 9}\n" for n in range(60))
    (tmp_path / "gaps.csv").write_text("x,kind,t\n" + rows)
    options = ("train", "gaps.csv", "--target", "t", *QUICK, "--out", "run")
    code, _, err = fnnet(*options)
    assert code == 1
    assert "line 2: the cell is missing" in err
    code, _, err = fnnet(*options, "--missing", "mean", "--regression")
    assert code == 0, err
    assert "r2" in fnnet("evaluate", "run", "gaps.csv")[1]
    assert fnnet("predict", "run", "gaps.csv")[1].startswith("prediction\n")


def test_a_title_is_not_mathematics(fnnet, tmp_path):
    write_animals("a$x_$.csv")
    code, _, err = fnnet("train", "a$x_$.csv", "--target", "kind", *QUICK)
    assert code == 0, err


def test_where_nothing_can_be_written_is_told_before_the_training(fnnet, tmp_path, monkeypatch):
    """Also without an extra that saving needs; no directory is left behind."""
    trained = []
    monkeypatch.setattr("fnnet.fitting.fit", lambda *_, **__: trained.append(1))
    (tmp_path / "file").write_text("mine")
    code, _, err = fnnet("train", "iris", *QUICK, "--out", "file/run")
    assert code == 1
    assert err.startswith("error: file")
    assert "Not a directory" in err

    def refuse(**_):
        raise PermissionError(13, "Permission denied", "locked/x")

    with monkeypatch.context() as patch:
        patch.setattr("tempfile.TemporaryFile", refuse)
        code, _, err = fnnet("train", "iris", *QUICK, "--out", "locked")
    assert (code, err) == (1, "error: locked/x: Permission denied\n  Fix: choose another path.\n")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    code, _, err = fnnet("train", "iris", *QUICK, "--out", "bare")
    assert code == 1
    assert "pip install 'fnnet[all]'" in err
    assert not trained
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_interrupted_training_ends_in_one_line(fnnet, tmp_path, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("fnnet.fitting.fit", interrupt)
    assert fnnet("train", "iris", *QUICK, "--out", "run") == (130, "", "interrupted\n")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("error", "code"), [(RuntimeError("RESOURCE_EXHAUSTED: 9 TB"), 1), (RuntimeError("a fault of fnnet"), None)]
)
def test_too_large_for_the_machine(fnnet, monkeypatch, error, code):
    """What the machine cannot hold is a mistake of size; any other fault keeps its traceback."""

    def fail(*_, **__):
        raise error

    monkeypatch.setattr("fnnet.fitting.fit", fail)
    if code is None:
        with pytest.raises(RuntimeError, match="a fault of fnnet"):
            fnnet("train", "iris", *QUICK)
        return
    got, _, err = fnnet("train", "iris", *QUICK)
    assert got == code
    assert "smaller --hidden" in err


def test_a_run_that_diverged_says_so(fnnet):
    """In the first epoch it is an error that says where; later what was learnt is saved, with a warning."""
    code, _, err = fnnet("train", "iris", *QUICK, "--optimizer", "sgd", "--learning-rate", "1e30")
    assert code == 1
    assert re.search(
        r"error: training: not finite in the first epoch, at step \d+: \w+ of .*\n  Fix: train with a l", err
    )
    options = ("--hidden", "8", "--optimizer", "sgd", "--learning-rate", "0.5", "--epochs", "60", "--out", "run")
    code, out, err = fnnet("train", "diabetes", *options)
    assert code == 0
    assert re.search(r"warning: not finite at step \d+: .*; what is saved is the state before: train with a lower", err)
    assert "saved to run" in out
    assert fnnet("evaluate", "run", "diabetes")[0] == 0


@pytest.mark.parametrize(("kind", "saved"), [("epoch", True), ("start", False)])
def test_an_interrupted_run_is_saved(fnnet, monkeypatch, tmp_path, kind, saved):
    """Ctrl-C after an epoch leaves what was learnt until then, and the code of an interrupt; before one, nothing."""

    def interrupt(event):
        if event.kind == kind:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("fnnet.callbacks.progress", lambda title: interrupt)
    code, out, err = fnnet("train", "iris", "--epochs", "50", "--out", "run")
    assert code == 130
    assert ("saved to run" in out, "interrupted after step" in err) == (saved, saved)
    assert (tmp_path / "run").exists() == saved
    if saved:
        assert len(read_rows(tmp_path / "run" / "history.csv")) < 50
        assert fnnet("evaluate", "run", "iris")[0] == 0


@pytest.mark.parametrize(("command", "runs"), [("train", 2), ("sweep", 1)])
def test_programs_are_kept_in_a_directory(tmp_path, command, runs):
    """With --cache the compiled programs lie there afterwards, and a second run takes them from there."""
    command = [sys.executable, "-m", "fnnet", command, "iris", *QUICK, "--cache", "programs"]
    environment = os.environ | {"PYTHONPATH": str(pathlib.Path(fn.__file__).parent.parent)}
    kept = []
    for _ in range(runs):
        subprocess.run(command, check=True, cwd=tmp_path, env=environment)
        kept.append({path.name for path in (tmp_path / "programs").iterdir() if path.name.endswith("-cache")})
    assert kept[0]
    assert kept[-1] == kept[0]
