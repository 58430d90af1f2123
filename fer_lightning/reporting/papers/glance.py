"""experiments/README.md: all tables at a glance."""

from pathlib import Path

import pandas as pd

from fer_lightning.files import write_atomically
from fer_lightning.functional.frames import natural_key
from fer_lightning.reporting.papers import missing
from fer_lightning.reporting.papers.readme import (
    BEGIN,
    END,
    between_marks,
    budgets_of,
    main_results,
    markdown,
    read_results,
    without_repeats,
)
from fer_lightning.reporting.papers.results import read_paper
from fer_lightning.reporting.papers.wording import number, title

INTRODUCTION = f"""# Printed tables, and what comes out here

One folder a table of a paper: its printed numbers (paper.csv), ours (results.csv), what ours are computed from
(predictions/), both side by side (README.md).

{BEGIN}
{END}
"""
#: Times of another machine, and what was scored while training: nothing to come close to.
ASIDE = ("seconds_per_fold", "samples_per_second", "hours", "train_accuracy")
HEADS = ("table", "what", "rows with a result", "printed numbers in our interval", "closest to the paper", "farthest")


def write_glance(experiments: Path) -> Path:
    """Write the generated part of ``experiments/README.md``; the same files give the same bytes."""
    tables = sorted(
        (file.parent for file in experiments.glob("*/paper.csv")), key=lambda table: natural_key(table.name)
    )
    others = sorted(file.parent for file in experiments.glob("*/README.md") if file.parent not in tables)
    lines = list(markdown(HEADS, [summary(table) for table in tables if (table / "results.csv").is_file()]))
    lines.append("Differences are ours less the paper's, of the first metric of the table, at budget full where there "
                 "is a result, else at the budget named.")  # fmt: skip
    if others:
        lines += [
            "\nRuns that are kept whole:\n",
            *(f"- [{other.name}]({other.name}): {name_of(other)}" for other in others),
        ]
    file = experiments / "README.md"
    old = file.read_text() if file.is_file() else INTRODUCTION
    write_atomically(file, between_marks(file, old, "\n".join(lines)))
    return file


def summary(table: Path) -> list[str]:
    """The cells below `HEADS`."""
    paper, results = read_paper(table), read_results(table)
    rows = list(dict.fromkeys(paper["row"]))
    budgets = [budget for budget in dict.fromkeys(results["budget"]) if budget]
    with_result = {budget: results.loc[results["budget"] == budget, "row"].nunique() for budget in budgets}
    counted = results.loc[results["seed"] == "", "row"].nunique()
    said = [f"{number} of {len(rows)} ({budget})" for budget, number in with_result.items()]
    trained = not paper["metric"].str.startswith("parameters_").all()
    said = said or [f"0 of {len(rows)}{_why(table)}" if trained else f"{counted} of {len(rows)} (counted)"]
    once = without_repeats(results)
    gaps = _gaps(paper, once)
    near, far = (gaps[gap(gaps, key=abs)] for gap in (min, max)) if gaps else ("", "")
    far = far if far != near else ""
    return [f"[{table.name}]({table.name})", name_of(table), ", ".join(said), _inside(paper, once), near, far]


def _why(table: Path) -> str:
    """Why a table has no result at all, in brackets."""
    reasons = dict.fromkeys(reason for reason in missing.read(table).values())
    return f" ({', '.join(reasons)})" if reasons else ""


def _inside(paper: pd.DataFrame, results: pd.DataFrame) -> str:
    """How many printed numbers lie in the interval of ours, of how many that can be compared, by budget."""
    both = paper["row"] + " " + paper["part"]
    scaled = both.isin(both[paper["metric"] == "accuracy_one_vs_rest"])
    printed = paper[~(scaled & (paper["metric"] == "accuracy"))]  # each is 1 - 2 / C (1 - the other): one fact, not two
    said = []
    for budget in dict.fromkeys(results.loc[results["low"].notna(), "budget"]):
        within = []
        for line in printed[printed["printed"] != ""].itertuples():
            own = main_results(results[results["budget"] == budget], line.row, line.part)
            ends = own.loc[own["metric"] == line.metric, ["mean_low", "mean_high"]]
            if len(ends) and ends.notna().all(axis=None):
                within.append(ends["mean_low"].iloc[0] <= float(line.printed) <= ends["mean_high"].iloc[0])
        said += [f"{sum(within)} of {len(within)} ({budget})"] if within else []
    return ", ".join(said)


def _gaps(paper: pd.DataFrame, results: pd.DataFrame) -> dict[float, str]:
    """Difference -> its sentence, of the first metric of the table that we have a number for."""
    for metric in dict.fromkeys(paper["metric"]):
        if metric in ASIDE:
            continue
        lines = paper[(paper["metric"] == metric) & (paper["part"] == "all") & (paper["printed"] != "")]
        found = {}
        for line in lines.itertuples():
            own = main_results(results[results["metric"] == metric], line.row)
            budgets = budgets_of(own) or sorted(set(own["budget"]))
            if not budgets:
                continue
            value = own.loc[own["budget"] == budgets[0], "value"].mean()
            gap = value - float(line.printed)
            budget = "" if budgets[0] in ("full", "") else f", budget {budgets[0]}"
            off = f"{'+' if gap > 0 else ''}{number(metric, gap)}"
            found[gap] = f"{line.row}: {title(metric)} {number(metric, value)}, {off}{budget}"
        if found:
            return found
    return {}


def name_of(folder: Path) -> str:
    """The first heading of the folder's README."""
    file = folder / "README.md"
    lines = file.read_text().splitlines() if file.is_file() else []
    return next((line.removeprefix("# ") for line in lines if line.startswith("# ")), folder.name)
