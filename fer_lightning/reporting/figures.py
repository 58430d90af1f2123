"""The pictures of a run: what is taken for what, how values agree, and how the folds learned."""

from functools import reduce
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fer_lightning.errors import PoolError
from fer_lightning.files import write_atomically
from fer_lightning.functional import continuous, metrics
from fer_lightning.functional.frames import natural_key
from fer_lightning.reporting.epochs import Epochs, read_epochs
from fer_lightning.reporting.pool import Pool, read_pool

#: Okabe and Ito: told apart by colour-blind readers too.
TRAIN, VAL, TEST = "#0072B2", "#E69F00", "#D55E00"
TRAIN_CCC, VAL_CCC = "#56B4E9", "#CC79A7"


def write_figures(folder: Path) -> list[Path]:
    """Draw, in ``figures/``, ``confusion_matrix.png`` of classes, ``agreement.png`` of values, ``learning_curves.png``.

    The last where the run kept curves.

    Raises:
        PoolError: the run is incomplete or contradicts itself.
        StorageError: a file could not be written.
    """
    pool = read_pool(folder)
    figures = {"confusion_matrix": confusion_figure(pool.labelled())} if pool.classes else {}
    if pool.targets:
        figures["agreement"] = agreement_figure(pool)
    curves = _read_curves(pool)
    if curves is not None:
        epochs = read_epochs(pool) if pool.selection == "oracle_test" else {}
        figures["learning_curves"] = curves_figure(pool, curves, epochs)
    return [_save(figure, pool.folder / "figures" / f"{name}.png") for name, figure in figures.items()]


def confusion_figure(pool: Pool) -> Figure:
    """Confusion matrix: colour and per cent within each true class, with the counts."""
    counts = metrics.confusion(pool.indices("label"), pool.indices("predicted"), len(pool.classes))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = 2.9 + 0.72 * len(pool.classes)
    figure = Figure(figsize=(max(size + 0.9, 6.0), size), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*counts.shape):
        colour = "white" if shares[row, column] > 0.55 else "black"
        text = f"{counts[row, column]}\n{100 * shares[row, column]:.0f} %"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=9)
    ticks = range(len(pool.classes))
    longest = max(len(name) for name in pool.classes)
    turned = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if longest > 8 else {}
    axes.set_xticks(ticks, pool.classes, **turned)
    axes.set_yticks(ticks, [f"{name}\n(n = {n})" for name, n in zip(pool.classes, counts.sum(axis=1), strict=True)])
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    figure.colorbar(image, ax=axes, label="share of the true class", fraction=0.046, pad=0.03)
    scores = {"UF1": metrics.uf1(counts), "UAR": metrics.uar(counts), "accuracy": metrics.accuracy(counts)}
    line = ", ".join(f"{name} {value:.3f}" for name, value in scores.items())
    _title(figure, pool, f"n = {len(pool.table)}, {line}")
    return figure


def agreement_figure(pool: Pool) -> Figure:
    """True against predicted value, one picture for each; the darker, the more samples."""
    columns = len(pool.targets)
    figure = Figure(figsize=(4.6 * columns + 0.6, 4.9), layout="constrained")
    for axes, name in zip(figure.subplots(1, columns, squeeze=False)[0], pool.targets, strict=True):
        rows = pool.table[pool.table[name].notna()]
        x, y = rows[name].to_numpy(), rows[f"predicted_{name}"].to_numpy()
        shades = axes.hexbin(x, y, gridsize=30, extent=(-1, 1, -1, 1), bins="log", mincnt=1, cmap="viridis_r")
        axes.plot([-1, 1], [-1, 1], color=TEST, linewidth=1)
        found = continuous.ccc(continuous.terms(x[:, None], y[:, None]).sum(axis=0))[0]
        axes.set(xlabel=f"{name}, annotated", ylabel=f"{name}, predicted", title=f"{name}: CCC {found:.3f}")
        axes.set(aspect="equal", xlim=(-1.05, 1.05))
        figure.colorbar(shades, ax=axes, label="samples", fraction=0.046, pad=0.03)
    _title(figure, pool, f"n = {int(pool.table[pool.targets].notna().any(axis=1).sum())}")
    return figure


def curves_figure(pool: Pool, curves: pd.DataFrame, epochs: dict[str, Epochs]) -> Figure:
    """Loss (left), accuracy, UF1 and CCC (right) over the epochs: a thin line per fold, a thick one for the mean.

    Args:
        pool: for the title.
        curves: columns fold, epoch, train_loss and, where present, train_accuracy, train_ccc, val_loss, val_uf1,
            val_ccc.
        epochs: test probabilities by fold; drawn for selection=oracle_test only, and labelled as a leak.
    """
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    _lines(left, curves, "train_loss", TRAIN, "train")
    _lines(left, curves, "val_loss", VAL, "validation")
    _lines(right, curves, "train_accuracy", TRAIN, "train accuracy")
    _lines(right, curves, "val_uf1", VAL, "validation UF1")
    _lines(right, curves, "train_ccc", TRAIN_CCC, "train CCC")
    _lines(right, curves, "val_ccc", VAL_CCC, "validation CCC")
    if epochs and pool.classes:
        _oracle_lines(right, pool.labelled(), epochs)
    left.set(ylabel="loss", ylim=(0, None))
    measures = ["accuracy", "UF1"] * bool(pool.classes) + ["CCC"] * bool(pool.targets)
    right.set(ylabel=", ".join(measures), ylim=(None if pool.targets else -0.02, 1.02))
    for axes in (left, right):
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if len(numbers := curves["epoch"].unique()) == 1:  # around one point matplotlib would show hundredths of epochs
            axes.set(xlim=(numbers[0] - 1, numbers[0] + 1), xticks=numbers)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=8)
    folds = curves["fold"].nunique()
    _title(
        figure,
        pool,
        f"{folds} folds (thin) and their mean (thick)" if folds > 1 else f"n = {len(pool.table)}",
    )
    return figure


def _lines(axes: Axes, curves: pd.DataFrame, column: str, colour: str, label: str) -> None:
    if column not in curves or not curves[column].notna().any():
        return
    rows = curves[curves[column].notna()]
    folds = rows["fold"].nunique()
    marker = "o" if rows["epoch"].nunique() == 1 else None
    if folds > 1:
        for _, fold in rows.groupby("fold"):
            axes.plot(fold["epoch"], fold[column], color=colour, alpha=max(0.12, 1 / (folds + 1)), linewidth=0.7)
    mean = rows.groupby("epoch")[column].mean()
    axes.plot(mean.index, mean, color=colour, linewidth=2, label=label, marker=marker)


def _oracle_lines(axes: Axes, pool: Pool, epochs: dict[str, Epochs]) -> None:
    """Pooled test UF1 at each epoch that all folds recorded, and the UF1 of each fold's best epoch."""
    common = reduce(np.intersect1d, [fold.epoch for fold in epochs.values()])
    counts = np.zeros((len(common), len(pool.classes), len(pool.classes)), dtype=np.int64)
    for fold in epochs.values():
        known = fold.target >= 0
        predicted = fold.probabilities[np.isin(fold.epoch, common)][:, known].argmax(axis=-1)
        rows = np.arange(len(common))[:, None]
        np.add.at(counts, (rows, fold.target[None, known], predicted), 1)
    label = "test UF1, pooled, one epoch for all folds (oracle: leaky)"
    axes.plot(common, metrics.uf1(counts), color=TEST, linewidth=1.5, label=label)
    best = metrics.uf1(metrics.confusion(pool.indices("label"), pool.indices("predicted"), len(pool.classes)))
    label = f"test UF1 † at each fold's best epoch: {best:.3f} (oracle: leaky)"
    axes.axhline(best, color=TEST, linewidth=1.2, linestyle="--", label=label)


def _title(figure: Figure, pool: Pool, second: str) -> None:
    mark = " † (epoch chosen on the test samples)" if pool.selection == "oracle_test" else ""
    lines = [f"{pool.model} on {pool.data}", f"{pool.protocol}, selection = {pool.selection}{mark}", second]
    lines += ["SYNTHETIC DATA"] if pool.synthetic else []
    figure.suptitle("\n".join(lines), fontsize=10.5)


def _read_curves(pool: Pool) -> pd.DataFrame | None:
    tables = []
    for file in sorted((pool.folder / "curves").glob("[!.]*.csv"), key=lambda file: natural_key(file.stem)):
        try:
            rows = pd.read_csv(file)
        except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
            raise PoolError(f"{file}: cannot be read ({error}); remove it to draw the other folds") from error
        if "epoch" not in rows:
            raise PoolError(f"{file}: expected a column 'epoch', found {list(rows.columns)}; remove this file")
        tables.append(rows.assign(fold=file.stem))
    return pd.concat(tables, ignore_index=True) if tables else None


def _save(figure: Figure, file: Path) -> Path:
    FigureCanvasAgg(figure)
    picture = BytesIO()
    # Without the version of matplotlib in it, the same run gives the same bytes.
    figure.savefig(picture, format="png", dpi=150, metadata={"Software": None})
    write_atomically(file, picture.getvalue())
    return file
