"""Pictures of what a network looks at: heat maps over samples, feature maps, the mean heat map of each class."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fer_lightning.files import write_atomically

#: Feature maps of a layer that are shown: the first ones.
CHANNELS = 16
#: The largest and the smallest size of maps, and some between.
STAGES = 5
WRONG = "#D55E00"


def verdict(cell: Mapping[str, Any]) -> str:
    """``happy → sad (.93)``: true class, predicted class, its probability."""
    return f"{cell['label']} → {cell['predicted']} ({cell['probability']:.2f})"


def maps_figure(cells: Sequence[Mapping[str, Any]], title: str, columns: int) -> Figure:
    """Each sample beside itself under its heat map; wrong predictions are orange.

    Args:
        cells: `picture` (RGB), `map` (``(h, w)``, not negative), `sample_id`, `label`, `predicted`, `probability`.
        title: heading.
        columns: samples side by side.
    """
    columns = min(columns, len(cells))
    rows = -(-len(cells) // columns)
    figure = Figure(figsize=(max(3.6 * columns, 6.5), 2.05 * rows + 0.9), layout="constrained")
    parts = figure.subfigures(rows, columns, squeeze=False).ravel()
    for part, cell in zip(parts, cells, strict=False):  # the last row may have gaps
        left, right = part.subplots(1, 2)
        colour = "black" if cell["label"] == cell["predicted"] else WRONG
        part.suptitle(f"{verdict(cell)}\n{cell['sample_id']}", fontsize=8, color=colour)
        _show(left, cell["picture"])
        _show(right, cell["picture"])
        height, width = cell["picture"].shape[:2]
        right.imshow(cell["map"], cmap="inferno", alpha=0.6, interpolation="bilinear", vmin=0,
                     vmax=max(cell["map"].max(), 1e-12), extent=(-0.5, width - 0.5, height - 0.5, -0.5))  # fmt: skip
    figure.suptitle(title, fontsize=9)
    return figure


def stages_figure(picture: np.ndarray, stages: Mapping[str, np.ndarray], title: str) -> Figure:
    """A sample, and below it a row of the first 16 channels of each stage; bright is large, each channel by itself.

    Args:
        picture: RGB.
        stages: name of the layer -> its maps ``(C, h, w)``, largest first.
        title: heading.
    """
    few = np.unique(np.linspace(0, len(stages) - 1, min(STAGES, len(stages))).round().astype(int))
    chosen = [list(stages.items())[place] for place in few]
    figure = Figure(figsize=(12, 1.3 + 1.15 * (len(chosen) + 1)), layout="constrained")
    figure.suptitle(title, fontsize=9)
    parts = figure.subfigures(len(chosen) + 1, 1, height_ratios=[1.4, *[1] * len(chosen)])
    _show(parts[0].subplots(), picture)
    for part, (name, maps) in zip(parts[1:], chosen, strict=True):
        shape = " x ".join(map(str, maps.shape))
        part.suptitle(f"{name}: {shape}, channels 1 to {min(CHANNELS, len(maps))}", fontsize=8, x=0.01, ha="left")
        axes = part.subplots()
        axes.imshow(_strip(maps), cmap="viridis", interpolation="nearest")
        axes.axis("off")
    return figure


def means_figure(means: Mapping[str, Mapping[str, Mapping[str, Any]]], title: str) -> Figure:
    """Mean heat map of each class (columns): of all samples, of the rightly and of the wrongly predicted ones (rows).

    All have one scale. It shows nobody's face.

    Args:
        means: class -> `all`, `right`, `wrong` -> `samples`, `empty`, `map` of sum 1 or None.
        title: heading.
    """
    maps = [mean["map"] for groups in means.values() for mean in groups.values() if mean["map"] is not None]
    top = max((part.max() for part in maps), default=1.0)
    groups = ("all", "right", "wrong")
    figure = Figure(figsize=(max(1.5 * len(means) + 1.2, 6.5), 6.1), layout="constrained")
    grid, shades = figure.subplots(len(groups), len(means), squeeze=False), None
    for row, group in zip(grid, groups, strict=True):
        for axes, (name, of_class) in zip(row, means.items(), strict=True):
            mean = of_class[group]
            number = f"n = {mean['samples']}" + (f" (+{mean['empty']} empty)" if mean["empty"] else "")
            axes.set_title(f"{name}\n{number}" if group == "all" else number, fontsize=8)
            axes.set_xticks([])
            axes.set_yticks([])
            axes.set_box_aspect(1)
            if mean["map"] is not None:
                shades = axes.imshow(mean["map"], cmap="inferno", vmin=0, vmax=top)
        row[0].set_ylabel(group, fontsize=9)
    if shades is not None:
        size = maps[0].size
        figure.colorbar(shades, ax=grid, label=f"share of the map (even: {1 / size:.3f})", fraction=0.046, pad=0.03)
    figure.suptitle(title, fontsize=9)
    return figure


def save(figure: Figure, file: Path) -> Path:
    """Write a PNG; the same figure gives the same bytes."""
    FigureCanvasAgg(figure)
    stream = BytesIO()
    figure.savefig(stream, format="png", dpi=120, metadata={"Software": None})  # else matplotlib's version is in it
    write_atomically(file, stream.getvalue())
    return file


def _strip(maps: np.ndarray) -> np.ndarray:
    """The first channels side by side, each stretched to 0..1, with gaps of NaN: ``(h, 16 * (w + gap) - gap)``."""
    channels, height, width = maps.shape
    gap = max(1, width // 10)
    strip = np.full((height, CHANNELS * (width + gap) - gap), np.nan)
    for place, channel in enumerate(maps[: min(CHANNELS, channels)]):
        left, range_ = place * (width + gap), np.ptp(channel)
        strip[:, left : left + width] = (channel - channel.min()) / range_ if range_ > 0 else 0
    return strip


def _show(axes: Axes, picture: np.ndarray) -> None:
    axes.imshow(picture, interpolation="nearest")
    axes.axis("off")
