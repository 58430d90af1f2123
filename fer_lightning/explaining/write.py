"""The explanation of a run: pictures of some samples, means of all of them, and explain.json."""

import json
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from rich.console import Console
from rich.progress import Progress

from fer_lightning.explaining.choice import choose, class_means, limit, named
from fer_lightning.explaining.finished import FinishedRun
from fer_lightning.explaining.gradcam import Layers, feature_maps, find_layers, grad_cam, named_layers
from fer_lightning.files import write_atomically
from fer_lightning.reporting import pictures
from fer_lightning.reporting.contact import picture
from fer_lightning.versions import versions


def write_explanation(
    run: FinishedRun,
    layer: Sequence[str] | None = None,
    ids: Sequence[str] | None = None,
    samples: int = 2,
    seed: int = 0,
    target: str = "predicted",
    classes_from: int | None = None,
) -> list[Path]:
    """Write figures/grad_cam.png, feature_maps.png, grad_cam_classes.png and explain.json; returns the files.

    Args:
        run: opened.
        layer: names of layers; None: `find_layers`.
        ids: samples to show; None: `samples` of each class, see `choose`.
        samples: how many.
        seed: of all draws.
        target: column that holds the class to be explained, `predicted` or `label`.
        classes_from: how many samples of each class the means are of; None: all.

    Raises:
        ConfigError: unknown ids or layers, a network without maps, predictions that are not the stored ones.
    """
    classes, table = run.pool.classes, run.table
    shown = named(table, ids) if ids else choose(table, classes, samples, seed)
    averaged = limit(table, classes, classes_from, seed) if classes_from else table
    first = shown.iloc[0]
    run.load(first["fold"])
    run.use(first["fold"], [first["sample_id"]])
    _, sample = next(run.batches())
    layers = named_layers(run.net, layer, sample) if layer else find_layers(run.net, sample)
    print(f"  Grad-CAM at {', '.join(layers)}", file=sys.stderr)
    stages = {name: found.numpy() for name, found in feature_maps(run.net, sample).items()}
    wanted = table[table["sample_id"].isin([*averaged["sample_id"], *shown["sample_id"]])]
    maps, off = explain(run, layers, wanted, target)
    of_sample = np.stack([maps[sample_id].mean(axis=0) for sample_id in averaged["sample_id"]])
    means = class_means(of_sample, averaged, classes)
    what = f"Grad-CAM at {' + '.join(layers)}, for the {'predicted' if target == 'predicted' else 'true'} class"
    drawn = "samples named by hand" if ids else f"samples drawn at random (seed {seed}), right and wrong of each class"
    some = f"{classes_from} test samples of each class (seed {seed})" if classes_from else "all test samples"
    cells = [_cell(run, row, maps[row["sample_id"]]) for row in shown.to_dict("records")]
    one = f"{first['sample_id']}, {pictures.verdict(cells[0])}"
    folder = run.folder / "figures"
    figures = {
        "grad_cam": pictures.maps_figure(cells, _title(run, what, drawn), columns=2 if ids else samples),
        "feature_maps": pictures.stages_figure(cells[0]["picture"], stages, _title(run, "feature maps", one)),
        "grad_cam_classes": pictures.means_figure(means, _title(run, what, f"mean of {some}")),
    }
    files = [pictures.save(figure, folder / f"{name}.png") for name, figure in figures.items()]
    report = {
        "model": run.pool.model, "data": run.pool.data, "synthetic": run.pool.synthetic, "layers": list(layers),
        "target": target, "seed": seed,
        "samples": shown[["sample_id", "fold", "label", "predicted"]].to_dict("records"),
        "checked": {"samples": len(wanted), "largest_difference": round(off, 8)},
        "classes": {name: {group: _plain(mean) for group, mean in groups.items()} for name, groups in means.items()},
        "versions": versions() | {"captum": version("captum")},
    }  # fmt: skip
    write_atomically(folder / "explain.json", json.dumps(report, indent=2) + "\n")
    return [*files, folder / "explain.json"]


def explain(run: FinishedRun, layers: Layers, rows: pd.DataFrame, target: str) -> tuple[dict[str, np.ndarray], float]:
    """Grad-CAM of samples, each by the network of the fold that tested it.

    Returns:
        Sample id -> maps ``(T, h, w)``, T the frames of a clip or 1; the largest difference to the stored predictions.
    """
    maps, off = {}, 0.0
    aims = dict(zip(rows["sample_id"], pd.Index(run.pool.classes).get_indexer(rows[target]), strict=True))
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("Grad-CAM", total=len(rows))
        for fold, tested in rows.groupby("fold", sort=False):
            run.load(fold)
            run.use(fold, tested["sample_id"].tolist())
            off = max(off, run.check(fold, tested))
            for ids, inputs in run.batches():
                found = grad_cam(run.net, layers, inputs, torch.tensor([int(aims[name]) for name in ids])).numpy()
                maps |= zip(ids, found if inputs.ndim == 5 else found[:, None], strict=True)
                progress.advance(bar, len(ids))
    return maps, off


def _cell(run: FinishedRun, row: dict[str, Any], maps: np.ndarray) -> dict[str, Any]:
    return {
        "picture": picture(run.array(row["sample_id"]), run.data.channels), "map": maps[len(maps) // 2],
        "sample_id": row["sample_id"], "label": row["label"], "predicted": row["predicted"],
        "probability": row[f"p_{row['predicted']}"],
    }  # fmt: skip


def _title(run: FinishedRun, *lines: str) -> str:
    first = f"{run.pool.model} on {run.pool.data}, each sample by the network of the fold that tested it"
    return "\n".join([first, *lines, *(["SYNTHETIC DATA"] if run.pool.synthetic else [])])


def _plain(mean: dict[str, Any]) -> dict[str, Any]:
    return mean | {"map": None if mean["map"] is None else mean["map"].round(4).tolist()}
