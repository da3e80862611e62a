"""Pictures of what a network says of images: boxes and masks beside the true ones, and which classes it mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jax.typing import ArrayLike

from fnnet.errors import DataError, DtypeError, ShapeError, needs_extra
from fnnet.plotting.panels import COLOURS, panels
from fnnet.plotting.pixels import as_pictures, image_panels, show_picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fnnet.boxes import Detections, Objects

_MOST_NUMBERS = 20  # classes of a confusion matrix whose cells have numbers
_OPAQUE = 0.6


def objects(
    x: ArrayLike,
    truth: Objects | None = None,
    found: Detections | None = None,
    *,
    classes: Sequence[str] | None = None,
    score: float = 0.0,
    columns: int = 4,
    title: str = "",
) -> Figure:
    """Draw images with the boxes that are there, dashed, and those that were found, solid, with class and score.

    `x` as for ``images``; the records' boxes are (n, k, 4), ``xyxy`` in pixels, or (k, 4) of one image. What is not
    valid is left out, and so is what was found with less than `score`. A class has one colour in both; its name is
    above what was found and below what is there.

    Raises: ShapeError unless the records are of as many images; DataError for a class that `classes` does not name.

    >>> there = fn.boxes.Objects(jnp.array([[[1.0, 1.0, 6.0, 7.0]]]), jnp.array([[3]]), jnp.array([[True]]))
    >>> [text.get_text() for text in objects(jnp.zeros((1, 8, 8, 1)), there).axes[0].texts]
    ['3']
    """
    pictures = as_pictures("objects", x)
    there = [] if truth is None else _records("objects", "truth", truth, len(pictures))
    seen = [] if found is None else _records("objects", "found", found, len(pictures))
    figure, axes = image_panels("objects", pictures, columns, 2.6, title)
    for n, ax in enumerate(axes):
        for box, kind, _ in there[n] if there else []:
            name = _name("objects", kind, classes)
            _draw_box(ax, box, COLOURS[kind % len(COLOURS)], name, dashed=True)
        for box, kind, certainty in seen[n] if seen else []:
            if certainty >= score:
                name = f"{_name('objects', kind, classes)} {certainty:.2f}"
                _draw_box(ax, box, COLOURS[kind % len(COLOURS)], name, dashed=False)
    return figure


def masks(
    x: ArrayLike,
    truth: ArrayLike | None = None,
    predicted: ArrayLike | None = None,
    *,
    classes: Sequence[str] | None = None,
    ignore: int | None = None,
    columns: int = 1,
    title: str = "",
) -> Figure:
    """Draw images beside the classes of their pixels, the true and the predicted ones, with the share that is right.

    `x` as for ``images``; masks (n, H, W), or (H, W) of one image, are whole numbers from 0, and class 0 is the
    background, which is left as it is. Each region of a class has its colour, and its name at its middle. Pixels whose
    true label is `ignore` are black and do not count. `columns`: how many images stand side by side.

    Raises: ShapeError unless masks and images agree; DtypeError for masks that are not whole numbers; DataError for a
    class that `classes` does not name.

    >>> figure = masks(jnp.zeros((1, 4, 4, 1)), jnp.zeros((1, 4, 4), int), jnp.eye(4, dtype=int)[None])
    >>> [axes.get_title() for axes in figure.axes]
    ['image', 'true', 'predicted, 75.0% right']
    """
    pictures = as_pictures("masks", x)
    layers = {
        name: _as_mask("masks", name, labels, pictures.shape[:3])
        for name, labels in (("true", truth), ("predicted", predicted))
        if labels is not None
    }
    each = 1 + len(layers)
    size = (2.2, 2.2 * pictures.shape[1] / pictures.shape[2] + 0.25)
    figure, axes = panels("masks", each * len(pictures), size, most=each * columns, title=title)
    for n, picture in enumerate(pictures):
        first, *others = axes[n * each : (n + 1) * each]
        show_picture(first, picture)
        first.set_title("image", fontsize=9)
        left_out = np.zeros(picture.shape[:2], bool)
        if truth is not None and ignore is not None:
            left_out = layers["true"][n] == ignore
        for ax, (name, labels) in zip(others, layers.items(), strict=True):
            show_picture(ax, _coloured("masks", picture, labels[n], left_out, ax, classes))
            right = ""
            if name == "predicted" and truth is not None and not left_out.all():
                right = f", {np.mean((labels[n] == layers['true'][n])[~left_out]):.1%} right"
            ax.set_title(name + right, fontsize=9)
    return figure


def confusion(matrix: ArrayLike, classes: Sequence[str] | None = None, *, title: str = "") -> Figure:
    """Draw a confusion matrix (n, n), rows true and columns predicted, as ``metrics.confusion_matrix`` returns it.

    A cell's colour is its share of its row, its number what the matrix holds, up to 20 classes. The diagonal, which is
    right, is framed.

    Raises: ShapeError unless the matrix is square and there are as many `classes`; DataError for counts below 0, or
    that are not finite.

    >>> [text.get_text() for text in confusion(jnp.array([[3, 1], [0, 4]])).axes[0].texts]
    ['3', '1', '0', '4']
    """
    counts = np.asarray(matrix, np.float64)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or counts.size == 0:
        raise ShapeError("confusion", f"the matrix must have shape (n, n), got {counts.shape}", "pass a square one.")
    n = len(counts)
    if classes is not None and len(classes) != n:
        raise ShapeError("confusion", f"expected {n} classes, got {len(classes)}", "name each.")
    if not (np.isfinite(counts) & (counts >= 0)).all():
        raise DataError("confusion", "counts must be finite and at least 0", "pass what confusion_matrix returns.")
    names = [str(k) for k in range(n)] if classes is None else list(classes)
    side = min(9.0, 1.6 + 0.45 * n)
    figure, (axes,) = panels("confusion", 1, (side + 0.8, side), title=title)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1e-300)
    drawn = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    whole = (counts == np.round(counts)).all()
    if n <= _MOST_NUMBERS:
        for (row, column), count in np.ndenumerate(counts):
            colour = "white" if shares[row, column] > 0.5 else "black" if count else "0.6"
            text = f"{count:.0f}" if whole else f"{count:.2f}"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8 if n <= 12 else 6)
    for k in range(n):
        axes.plot(*_corners((k - 0.5, k - 0.5, k + 0.5, k + 0.5)), color=COLOURS[1], linewidth=1.2)
    slanted = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if max(map(len, names)) > 3 else {}
    axes.set_xticks(range(n), names, fontsize=8, parse_math=False, **slanted)
    axes.set_yticks(range(n), names, fontsize=8, parse_math=False)
    axes.set(xlabel="predicted", ylabel="true", xlim=(-0.55, n - 0.45), ylim=(n - 0.45, -0.55))
    figure.colorbar(drawn, label="share of the true class", shrink=0.8)
    return figure


def _records(where: str, name: str, record: Any, count: int) -> list[list[tuple[Any, int, float]]]:
    """Return, for each image, (box, class, score) of what is valid."""
    boxes, kinds, valid = (np.asarray(part) for part in (record.boxes, record.classes, record.valid))
    scores = np.asarray(getattr(record, "scores", np.ones(valid.shape)))
    if boxes.ndim == 2:
        boxes, kinds, valid, scores = (part[None] for part in (boxes, kinds, valid, scores))
    if boxes.ndim != 3 or boxes.shape[-1] != 4 or len(boxes) != count:
        problem = f"for {count} images the boxes of {name} must have shape ({count}, k, 4), got {boxes.shape}"
        raise ShapeError(where, problem, "pass the records of these images, such as jax.tree.map(lambda a: a[:4], …).")
    return [
        [(boxes[n, k], int(kinds[n, k]), float(scores[n, k])) for k in np.flatnonzero(valid[n])] for n in range(count)
    ]


def _name(where: str, kind: int, classes: Sequence[str] | None) -> str:
    if classes is None:
        return str(kind)
    if not 0 <= kind < len(classes):
        problem = f"class {kind} is not one of the {len(classes)} that are named"
        raise DataError(where, problem, "name all of them, from 0.")
    return classes[kind]


def _draw_box(axes: Any, box: np.ndarray, colour: str, name: str, *, dashed: bool) -> None:
    # The dark line beneath tells a box from an image of its colour.
    corners = _corners(tuple(box))
    style = {"linestyle": (0, (4, 2))} if dashed else {}
    axes.plot(*corners, color="black", linewidth=2.8, alpha=0.7, clip_on=False, **style)
    axes.plot(*corners, color=colour, linewidth=1.6, clip_on=False, **style)
    x1, y1, _, y2 = (float(side) for side in box)
    place, up = ((x1, y2), "top") if dashed else ((x1, y1), "bottom")
    behind = {"facecolor": colour, "edgecolor": "none", "pad": 0.8, "alpha": 0.85}
    axes.text(*place, name, color=_ink_on(colour), fontsize=7, va=up, ha="left", bbox=behind, parse_math=False)


def _corners(box: tuple[float, ...]) -> tuple[list[float], list[float]]:
    x1, y1, x2, y2 = box
    return [x1, x2, x2, x1, x1], [y1, y1, y2, y2, y1]


def _ink_on(colour: str) -> str:
    red, green, blue = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 120 else "white"


def _as_mask(where: str, name: str, labels: ArrayLike, shape: tuple[int, ...]) -> np.ndarray:
    mask = np.asarray(labels)
    mask = mask[None] if mask.ndim == 2 else mask
    if mask.shape != shape:
        fix = "pass one class for each pixel, of logits logits.argmax(-1)."
        raise ShapeError(where, f"the {name} mask must have the images' shape {shape}, got {mask.shape}", fix)
    if mask.dtype.kind not in "biu":
        raise DtypeError(where, f"the {name} mask must hold whole numbers, got {mask.dtype}", "logits.argmax(-1).")
    return mask.astype(int)


def _coloured(
    where: str,
    picture: np.ndarray,
    labels: np.ndarray,
    left_out: np.ndarray,
    axes: Any,
    classes: Sequence[str] | None,
) -> np.ndarray:
    """Return the image in grey with its classes in colour, and write the names of these."""
    with needs_extra(where, "plot"):
        from matplotlib.colors import to_rgb
    shown = np.repeat(0.4 + 0.6 * picture.mean(-1, keepdims=True), 3, -1)
    for kind in np.unique(labels[~left_out]).tolist():
        name = _name(where, kind, classes)
        if kind == 0:
            continue
        here = (labels == kind) & ~left_out
        colour = COLOURS[(kind - 1) % len(COLOURS)]
        shown[here] += _OPAQUE * (np.array(to_rgb(colour)) - shown[here])
        rows, columns = np.nonzero(here)
        middle = np.argmin(np.square(rows - rows.mean()) + np.square(columns - columns.mean()))
        behind = {"facecolor": "white", "edgecolor": colour, "pad": 0.8, "alpha": 0.8}
        place = (columns[middle] + 0.5, rows[middle] + 0.5)
        axes.text(*place, name, fontsize=7, ha="center", va="center", bbox=behind, parse_math=False)
    shown[left_out] = 0
    return shown
