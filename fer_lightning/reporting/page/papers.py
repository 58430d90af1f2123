"""Gather the papers' tables for their page: from the committed files of a folder of experiments alone."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from fer_lightning.errors import PoolError
from fer_lightning.functional.frames import natural_key
from fer_lightning.reporting.page.curves import short, thinned
from fer_lightning.reporting.page.pictures import ALL, embed, used
from fer_lightning.reporting.papers import glance, missing, readme, wording
from fer_lightning.reporting.papers.collect import curves_file, file_name, picture_file
from fer_lightning.reporting.papers.made import runs as how_made
from fer_lightning.reporting.papers.results import budget_name, read_committed, read_paper
from fer_lightning.reporting.scores import confusion
from fer_lightning.reporting.tables import DAGGER

#: Epochs that a learning curve has on the page.
POINTS = 100
#: Figures that are no score, or that no run here can give.
UNCHARTED = (*readme.PRINTED_ONLY, "parameters_total", "parameters_train", "seconds_per_fold", "samples_per_second",
             "hours")  # fmt: skip
#: Of how a result was made, what stands beside it.
BESIDE = ("selection", "seeds", "seconds a run", "device", "commit")
REBUILD = "`python -m fer_lightning.reproduce --rebuild` makes results.csv again"
Reasons = Mapping[tuple[str, str, str], str]
Places = Mapping[tuple[str, str], tuple[str, int]]


def read_places(experiment: Path) -> dict[tuple[str, str], tuple[str, int]]:
    """(table, row) -> where its module stands and its number of branches, of the rows whose file says both.

    Args:
        experiment: ``conf/experiment``, read as plain YAML.
    """
    found = {}
    for file in sorted(experiment.glob("*.yaml")):
        content = yaml.safe_load(file.read_text())
        model = content.get("model") or {}
        if content.get("table") and {"position", "branches"} <= set(model):
            found[content["table"], content["row"]] = (str(model["position"]), int(model["branches"]))
    return found


def collect_papers(experiments: Path, reasons: Reasons, places: Places) -> dict[str, Any]:
    """Everything the page shows, as plain JSON.

    Args:
        experiments: folder with ``<table>/paper.csv``, ``results.csv``, ``predictions/`` and ``README.md``.
        reasons: (table, row, budget) -> why it is never run, or "".
        places: see `read_places`.

    Returns:
        tables, kept (name and title of folders without paper.csv), broken (path and reason), heads (of the glance) and
        synthetic (whether a table has results on generated data).
    """
    tables, broken, room = [], [], ALL
    folders = sorted((file.parent for file in experiments.glob("*/paper.csv")), key=lambda each: natural_key(each.name))
    for folder in folders:
        own = {(row, budget): reason for (table, row, budget), reason in reasons.items() if table == folder.name}
        rows = {row: place for (table, row), place in places.items() if table == folder.name}
        try:
            table = read_table(folder, own, rows, room)
        except (PoolError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            reason = str(error) if isinstance(error, PoolError | OSError) else f"cannot be read ({error!r})"
            broken.append({"path": folder.name, "reason": reason.replace(f"{experiments}/", "")})
            continue
        tables.append(table)
        room -= sum(used(budget["maps"]) for budget in table["budgets"])
    kept = sorted(file.parent for file in experiments.glob("*/README.md") if file.parent not in folders)
    return {
        "tables": tables,
        "kept": [[folder.name, glance.name_of(folder)] for folder in kept],
        "broken": broken,
        "heads": glance.HEADS,
        "synthetic": any(budget["synthetic"] for table in tables for budget in table["budgets"]),
    }


def read_table(folder: Path, reasons: Mapping[tuple[str, str], str], places: Mapping[str, Any], room: int) -> dict:
    """One table: what its README says, and the numbers of its charts.

    Args:
        folder: ``experiments/<table>``.
        reasons, places: as of `collect_papers`, of this table.
        room: bytes that are left for pictures.

    Raises:
        PoolError: a committed file is broken, or results.csv says something else than the predictions.
    """
    from fer_lightning.reporting.papers.against import METHOD, against_first  # scipy.stats takes a second

    paper, results, cells = read_paper(folder), readme.read_results(folder), readme.read_cells(folder)
    _check_runs(results, cells)
    others = wording.budgets_offered(reasons)
    reasons = {key: reason for key, reason in reasons.items() if reason} | missing.read(folder)
    budgets, anywhere = [], wording.at_any_budget(reasons)
    for budget in readme.budgets_of(results) or [""]:
        own = readme.of_budget(results, budget) if budget else results
        heads, lines = readme.figures(paper, own, budget or "full", reasons if budget else anywhere)
        runs = [facts for facts in cells if budget_name(facts) == budget]
        block = {"heading": wording.heading(budget, paper) if budget else "", "points": list(_points(paper, own))}
        block |= _beside(heads, lines, how_made(runs)) | {"found": list(_found(paper, own))}
        block |= {"gaps": readme.oracle(own), "against": against_first(folder, runs), "runs": how_made(runs)}
        block |= _of_runs(folder, paper, own, runs, room)
        room -= used(block["maps"])
        budgets.append(block)
    return {
        "name": folder.name,
        "title": glance.name_of(folder),
        "glance": glance.summary(folder),
        "others": others,
        "sources": list(dict.fromkeys(source for source in paper["source"] if source)),
        "conventions": list(wording.conventions(paper, results)),
        "budgets": budgets,
        "method": METHOD,
        "places": {row: list(place) for row, place in places.items()},
        "remarks": "\n".join(readme.notes(paper)),
        "deviations": written_by_people(folder / "README.md"),
    }


def _check_runs(results: pd.DataFrame, cells: list[dict[str, Any]]) -> None:
    trained = results[results["seed"] != ""]
    said = set(zip(trained["row"], trained["seed"], trained["budget"], strict=True))
    differ = sorted(said ^ {(facts["row"], str(facts["seed"]), budget_name(facts)) for facts in cells})
    if differ:
        raise PoolError(f"results.csv and predictions/ are not of the same runs (first: {differ[0]}). {REBUILD}")


def _beside(heads: list[str], lines: list[list[str]], runs: readme.Grid) -> dict[str, Any]:
    """The table of the README, and beside each result how it was made."""
    places = [runs[0].index(name) for name in BESIDE]
    made = {line[0]: [line[place] for place in places] for line in runs[1]}
    for row in made.values():
        row[0] += f" {DAGGER}" if row[0] == "oracle_test" else ""
    return {"heads": [*heads, *BESIDE], "lines": [[*line, *made.get(line[0], [""] * len(BESIDE))] for line in lines]}


def _found(paper: pd.DataFrame, results: pd.DataFrame) -> Iterator[bool]:
    """Whether there is a result, of each line of the table."""
    for row, part in dict.fromkeys(zip(paper["row"], paper["part"], strict=True)):
        yield bool(readme.main_results(results, row, part)["value"].notna().any())


def _points(paper: pd.DataFrame, results: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Printed figure, ours and its interval, of each figure that has a place on a chart, row and part."""
    printed = paper[paper["printed"] != ""].set_index(["metric", "row", "part"])["printed"]
    for metric in dict.fromkeys([*paper["metric"], *readme.ALWAYS]):
        for row, part in dict.fromkeys(zip(paper["row"], paper["part"], strict=True)):
            own = readme.main_results(results, row, part)
            own = own[own["metric"] == metric]
            text = printed.get((metric, row, part))
            if metric in UNCHARTED or (own.empty and text is None):
                continue
            ends = own[["value", "mean_low", "mean_high"]].mean().round(6)
            yield {
                "metric": wording.title(metric), "row": row, "part": part,
                "paper": None if text is None else float(text),
                **{name.removeprefix("mean_"): None if np.isnan(end) else float(end) for name, end in ends.items()},
                "leaky": "oracle_test" in set(own["selection"]),
            }  # fmt: skip


def _of_runs(folder: Path, paper: pd.DataFrame, results: pd.DataFrame, cells: list[dict], room: int) -> dict[str, Any]:
    """What the committed files of the runs at one budget hold: confusion matrices, curves, pictures."""
    counts: dict[tuple[str, str], list[np.ndarray]] = {}
    classes: dict[str, list[str]] = {}
    curves: dict[str, list[pd.DataFrame]] = {}
    maps: list[dict[str, Any]] = []
    for facts in cells:
        row, file = facts["row"], folder / "predictions" / f"{file_name(facts)}.json"
        if facts["classes"]:
            table = read_committed(file, facts)[0].table
            table = table[table["label"] != ""]
            _check_accuracy(table, results, facts)
            classes[row] = facts["classes"]
            for part in dict.fromkeys(paper.loc[paper["row"] == row, "part"]):
                rows = table if part == "all" else table[table["dataset"] == part]
                counts.setdefault((row, part), []).append(confusion(rows, facts["classes"]))
        if curves_file(file).is_file():
            curves.setdefault(row, []).append(pd.read_csv(curves_file(file)).set_index("epoch"))
        picture = embed(picture_file(file), room - used(maps))
        maps += [{"row": row, "seed": facts["seed"], **picture}] if picture else []
    return {
        "synthetic": any(facts["synthetic"] for facts in cells),
        "confusions": [
            {"row": row, "part": part, "classes": classes[row], "confusion": sum(each).tolist(), "seeds": len(each)}
            for (row, part), each in counts.items()
        ],
        "curves": [{"row": row, **_seeds(each)} for row, each in curves.items()],
        "maps": maps,
    }  # fmt: skip


def _check_accuracy(table: pd.DataFrame, results: pd.DataFrame, facts: dict[str, Any]) -> None:
    own = readme.main_results(results, facts["row"])
    said = own.loc[(own["seed"] == str(facts["seed"])) & (own["metric"] == "accuracy"), "value"]
    counted = float((table["label"] == table["predicted"]).mean())
    if len(said) != 1 or abs(said.iloc[0] - counted) > 1e-6:
        raise PoolError(f"{file_name(facts)} has accuracy {counted:.6f}, results.csv {list(said)}. {REBUILD}")


def _seeds(seeds: list[pd.DataFrame]) -> dict[str, Any]:
    """Curves of the seeds of a row at the epochs of all; between two epochs that a seed has, a straight line."""
    epochs = np.unique(np.concatenate([seed.index for seed in seeds]))
    aligned = [seed.reindex(epochs).interpolate(method="index", limit_area="inside") for seed in seeds]
    kept = thinned(epochs, POINTS)
    table = pd.concat(aligned, axis=1, keys=range(len(seeds))).loc[kept]
    lines = {}
    for name in dict.fromkeys(name for seed in seeds for name in seed if name != "folds"):
        of_seeds = table.xs(name, axis=1, level=1)
        lines[name] = {"mean": short(of_seeds.mean(axis=1))}
        if len(seeds) > 1:
            lines[name]["folds"] = [short(of_seeds[seed]) for seed in of_seeds]
    folds = max(int(seed["folds"].max()) for seed in seeds)
    return {"epochs": kept.tolist(), "lines": lines, "seeds": len(seeds), "folds": folds}


def written_by_people(file: Path) -> str:
    """Markdown of a README without its title and without what is generated."""
    if not file.is_file():
        return ""
    before, _, rest = file.read_text().partition(readme.BEGIN)
    title, _, rest_of_before = before.partition("\n")
    before = rest_of_before if title.startswith("# ") else before
    return f"{before.strip()}\n\n{rest.partition(readme.END)[2].strip()}".strip()
