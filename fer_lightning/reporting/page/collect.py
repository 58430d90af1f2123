"""Gather the cells of a folder of runs: what stands in their files, and nothing that is not there."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fer_lightning.errors import PoolError
from fer_lightning.functional.frames import natural_key
from fer_lightning.reporting.page.cell import check_scores, count_folds, describe, read_config, read_folds, read_scores
from fer_lightning.reporting.page.curves import read_curves
from fer_lightning.reporting.page.pictures import ALL, read_pictures, used

#: Numbers that one line of a curve may have, and all lines of one kind in all cells together.
MOST_POINTS, FEWEST_POINTS, ALL_POINTS = 200, 40, 20_000
#: Settings that say which epoch is scored, not how it was trained.
RULE = ("protocol.selection", "protocol.oracle_every", "protocol.inner_val", "protocol.metric")


def find_runs(runs: Path, trouble: Callable[[OSError], None]) -> list[Path]:
    """Folders at or below `runs` with a config.yaml or scores.json, in natural order.

    Folders inside a run folder and hidden ones are not looked into. `trouble` is told which cannot be listed.
    """
    found = []
    for name, below, files in os.walk(runs, onerror=trouble):
        run = not {"config.yaml", "scores.json"}.isdisjoint(files)
        found += [Path(name)] if run else []
        below[:] = [] if run else [folder for folder in below if not folder.startswith(".")]
    return sorted(found, key=lambda folder: [natural_key(part) for part in folder.parts])


def collect(
    runs: Path,
    settings: Callable[[dict], dict[str, object]],
    check: bool = False,
    follow: Callable[[list[Path]], Any] = list,
) -> dict[str, Any]:
    """Everything the page shows, as plain JSON.

    Args:
        runs: folder with run folders anywhere below it.
        settings: config -> flat ``{"optimizer.lr": 0.1, ...}`` of what can change a result.
        check: rebuild each score from its predictions, and refuse a cell whose scores.json says something else.
        follow: wraps the list of run folders, to show how far it got.

    Returns:
        cells (finished runs), unfinished, broken (path and reason), common (settings that all cells share; each cell
        has the others), versions (each cell has the number of its own), checked.
    """
    broken: list[dict[str, str]] = []
    folders = find_runs(runs, lambda error: broken.append(_refused(runs, Path(error.filename), error.strerror)))
    points = int(np.clip(ALL_POINTS // max(len(folders), 1), FEWEST_POINTS, MOST_POINTS))
    cells, unfinished, versions, room = [], [], [], ALL
    for folder in follow(folders):
        try:
            config = read_config(folder)
            cell = {"path": _name(runs, folder)} | describe(config, folder)
            if not (folder / "scores.json").is_file():
                unfinished.append(cell | count_folds(folder))
                continue
            scores = read_scores(folder, cell)
            if check:
                check_scores(folder, scores)
            made = scores.pop("versions")
            versions += [made] if made not in versions else []
            pictures = read_pictures(folder, room)
            room -= used(pictures)
            cells.append(
                cell
                | {"scores": scores, "versions": versions.index(made), "settings": _plain(settings(config))}
                | {"folds": read_folds(folder, scores), "curves": read_curves(folder / "curves", points)}
                | {"pictures": pictures}
            )
        except (PoolError, OSError) as error:
            broken.append(_refused(runs, folder, str(error)))
    _number(cells, "group", ("seed",))
    _number(cells, "recipe", ("seed", *RULE))
    return {
        "common": _take_common(cells),
        "cells": cells,
        "unfinished": unfinished,
        "broken": sorted(broken, key=lambda refused: natural_key(refused["path"])),
        "versions": versions,
        "checked": check,
    }


def _refused(runs: Path, folder: Path, reason: str) -> dict[str, str]:
    return {"path": _name(runs, folder), "reason": reason.replace(f"{runs}{os.sep}", "")}


def _name(runs: Path, folder: Path) -> str:
    return folder.relative_to(runs).as_posix() if folder != runs else folder.resolve().name


def _plain(settings: dict[str, object]) -> dict[str, object]:
    """Values as JSON has them; what it lacks (lists as one value, inf, dates) as text."""
    return {
        key: value
        if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and np.isfinite(value))
        else json.dumps(value, default=str)
        for key, value in settings.items()
    }


def _number(cells: list[dict[str, Any]], name: str, without: tuple[str, ...]) -> None:
    """Cells that differ in nothing but the settings `without` get the same number as `name`."""
    numbers: dict[str, int] = {}
    for cell in cells:
        rest = {key: value for key, value in cell["settings"].items() if key not in without}
        cell[name] = numbers.setdefault(json.dumps(rest, sort_keys=True), len(numbers))


def _take_common(cells: list[dict[str, Any]]) -> dict[str, object]:
    """Take the settings out of the cells that are the same in all."""
    if not cells:
        return {}
    first, *others = (cell["settings"] for cell in cells)
    common = {key: value for key, value in first.items() if all(key in o and o[key] == value for o in others)}
    for cell in cells:
        cell["settings"] = {key: value for key, value in cell["settings"].items() if key not in common}
    return common
