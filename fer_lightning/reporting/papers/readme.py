"""README.md of a table: the printed numbers, ours, the difference; and of the rows without a result, why.

Only what stands between two marks is written. People's text around them survives.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from fer_lightning.errors import PoolError
from fer_lightning.files import write_atomically
from fer_lightning.reporting.papers import missing
from fer_lightning.reporting.papers.made import runs
from fer_lightning.reporting.papers.results import budget_name, read_facts, read_paper
from fer_lightning.reporting.papers.wording import (
    BUDGETS,
    at_any_budget,
    budgets_offered,
    conventions,
    heading,
    is_of_paper,
    number,
    title,
)
from fer_lightning.reporting.tables import DAGGER

BEGIN, END = "<!-- generated -->", "<!-- end -->"
#: Names of the columns, and the texts of each line.
Grid = tuple[list[str], list[list[str]]]
#: No run here is of three data sets.
PRINTED_ONLY = ("accuracy_three_sets",)
#: Figures that a paper may not print and that say more than those it does.
ALWAYS = ("accuracy", "uf1", "uar", "accuracy_deduplicated")


def write_readme(table: Path, reasons: Mapping[tuple[str, str], str]) -> Path:
    """Write the generated part of ``<table>/README.md``; the same files give the same bytes.

    Args:
        table: ``experiments/<table>``, with paper.csv and results.csv.
        reasons: (row, budget) -> why it is never run, or "".

    Raises:
        PoolError: the README is there and has no marks.
    """
    file = table / "README.md"
    old = file.read_text() if file.is_file() else f"# {table.name}\n\n{BEGIN}\n{END}\n\n## Deviations\n"
    write_atomically(file, between_marks(file, old, "\n".join(generated(table, reasons))))
    return file


def between_marks(file: Path, old: str, new: str) -> str:
    """`old` with `new` in the place of what stands between the marks."""
    before, begin, rest = old.partition(f"{BEGIN}\n")
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise PoolError(f"{file}: expected the lines {BEGIN} and {END}, between which the table is written")
    return f"{before}{begin}{new}\n{end}{after}"


def generated(table: Path, reasons: Mapping[tuple[str, str], str]) -> Iterator[str]:
    """The lines between the marks."""
    from fer_lightning.reporting.papers.against import METHOD, against_first  # scipy.stats takes a second

    paper, results, cells = read_paper(table), read_results(table), read_cells(table)
    others = budgets_offered(reasons)
    reasons = {key: reason for key, reason in reasons.items() if reason} | missing.read(table)
    sources = ", ".join(dict.fromkeys(source for source in paper["source"] if source)) or "nothing is printed"
    yield f"Printed: {sources} ([paper.csv](paper.csv)). Ours: [results.csv](results.csv)."
    yield f"\n```sh\nmake reproduce TABLE={table.name} BUDGET=full    # {others}SEEDS=0,1,2\n```\n"
    for sentence in conventions(paper, results):
        yield from (sentence, "")
    budgets = budgets_of(results)
    for budget in budgets:
        yield f"### {heading(budget, paper)}\n"
        own = of_budget(results, budget)
        yield from markdown(*figures(paper, own, budget, reasons))
        heads, lines = oracle(own)
        yield from markdown(heads, lines) if lines else ()
        ran = [facts for facts in cells if budget_name(facts) == budget]
        heads, lines = against_first(table, ran)
        yield from [METHOD, "", *markdown(heads, lines)] if lines else ()
        yield from markdown(*runs(ran))
    if not budgets:
        yield from markdown(*figures(paper, results, "full", at_any_budget(reasons)))
    yield from notes(paper)


def budgets_of(results: pd.DataFrame) -> list[str]:
    """Budgets with a result, each with the other data set that was asked for, if any."""
    found = results.loc[results["seed"] != "", "budget"].unique()
    return sorted(found, key=lambda budget: (list(BUDGETS).index(budget.partition(",")[0]), budget))


def of_budget(results: pd.DataFrame, budget: str) -> pd.DataFrame:
    """Results at a budget, and what is counted, which depends on none."""
    return results[(results["budget"] == budget) | (results["seed"] == "")]


def without_repeats(results: pd.DataFrame) -> pd.DataFrame:
    """Without the results of a row at a budget whose runs all stand at another budget, among more.

    At budget night some rows are the runs of budget cpu with seed 0: what three seeds say is said once.
    """
    keep = pd.Series(True, index=results.index)
    for _, own in results[results["seed"] != ""].groupby("row", sort=False):
        runs = {budget: set(lines["run"]) for budget, lines in own.groupby("budget", sort=False)}
        for budget, some in runs.items():
            if any(some < others for others in runs.values()):
                keep[own.index[own["budget"] == budget]] = False
    return results[keep]


def read_results(table: Path) -> pd.DataFrame:
    """``results.csv`` with numbers as numbers; text columns have "" where nothing stands.

    The lines of the mean over seeds become columns of the lines of each seed: mean_low and mean_high, the interval of
    that mean (of a single seed its own).
    """
    numbers, keys = ["value", "low", "high"], ["row", "budget", "selection", "part", "metric"]
    results = pd.read_csv(table / "results.csv", dtype=str, keep_default_na=False)
    results = results.assign(**{name: pd.to_numeric(results[name]) for name in numbers})
    of_mean = results["seed"].str.contains(" ")
    ends = results.loc[of_mean, [*keys, "low", "high"]].rename(columns={"low": "mean_low", "high": "mean_high"})
    results = results[~of_mean].merge(ends, on=keys, how="left", validate="many_to_one")
    return results.fillna({"mean_low": results["low"], "mean_high": results["high"]})


def read_cells(table: Path) -> list[dict[str, Any]]:
    """Facts of the committed runs, in the order of the rows of paper.csv and of the seeds."""
    order = list(dict.fromkeys(read_paper(table)["row"]))
    cells = map(read_facts, (table / "predictions").glob("*-seed*.json"))
    return sorted(cells, key=lambda facts: (order.index(facts["row"]), budget_name(facts), facts["seed"]))


def figures(paper: pd.DataFrame, results: pd.DataFrame, budget: str, reasons: Mapping[tuple[str, str], str]) -> Grid:
    """One line for each row and part: printed, ours and difference of each metric, then what is not printed."""
    metrics = list(dict.fromkeys([*paper["metric"], *ALWAYS]))
    printed = list(dict.fromkeys(paper["metric"])) if is_of_paper(paper) else []
    extra = [name for name in metrics if name not in printed and name in set(results["metric"])]
    several = paper["part"].nunique() > 1
    heads = ["row", *(["part"] if several else []), "n"]
    heads += [head for name in printed for head in (f"{title(name)}: paper", "ours", "difference")]
    lines = []
    for row, part in dict.fromkeys(zip(paper["row"], paper["part"], strict=True)):
        own = main_results(results, row, part)
        absent = "" if (own["seed"] != "").any() else reasons.get((row, budget), "not run")
        lines_of_paper = paper[(paper["row"] == row) & (paper["part"] == part)]
        texts = dict(zip(lines_of_paper["metric"], lines_of_paper["printed"], strict=True))
        cells = [row, *([part] if several else []), _one(own["n"])]
        for name in printed:
            cells += _compared(own, name, texts.get(name), absent)
        lines.append([*cells, *(ours(own, name) or ("" if printed else absent) for name in extra)])
    return [*heads, *(f"{title(name)} (ours)" for name in extra)], lines


def main_results(results: pd.DataFrame, row: str, part: str = "all") -> pd.DataFrame:
    """The results of a row as its own selection rule scores it: of oracle_test not those of the last epoch."""
    own = results[(results["row"] == row) & (results["part"] == part)]
    rules = set(own["selection"])
    return own[own["selection"] != "last"] if "oracle_test" in rules else own


def _compared(own: pd.DataFrame, metric: str, printed: str | None, absent: str) -> list[str]:
    """Printed, ours, difference; empty where the paper speaks of this metric in other rows only and we have none."""
    found = ours(own, metric)
    paper = "" if not printed else f"{int(printed):,}" if metric.startswith("parameters_") else printed
    if not found:
        return [paper, "" if printed is None or metric in PRINTED_ONLY else absent, ""]
    return [paper, found, difference(own, metric, printed) if printed else ""]


def ours(own: pd.DataFrame, metric: str) -> str:
    """Mean over the seeds, interval, and what the seeds lie between."""
    lines = own[own["metric"] == metric]
    if lines.empty:
        return ""
    found = number(metric, lines["value"].mean())
    inside = []
    if lines["mean_low"].notna().any():
        inside.append(f"{lines['mean_low'].iloc[0]:.3f} to {lines['mean_high'].iloc[0]:.3f}")
    if lines["seed"].nunique() > 1:
        inside.append(f"{lines['seed'].nunique()} seeds {number(metric, lines['value'].min())} to "
                      f"{number(metric, lines['value'].max())}")  # fmt: skip
    mark = f" {DAGGER}" if "oracle_test" in set(lines["selection"]) else ""
    return f"{found}{mark} ({'; '.join(inside)})" if inside else f"{found}{mark}"


def difference(own: pd.DataFrame, metric: str, printed: str) -> str:
    """Ours less the paper's, and whether the paper's lies in our interval."""
    lines = own[own["metric"] == metric]
    gap = lines["value"].mean() - float(printed)
    gap = 0.0 if float(number(metric, gap).replace(",", "")) == 0 else gap  # never -0.0000
    sign = "+" if gap > 0 else ""
    if lines["mean_low"].isna().any():
        return f"{sign}{number(metric, gap)}"
    within = lines["mean_low"].iloc[0] <= float(printed) <= lines["mean_high"].iloc[0]
    return f"{sign}{number(metric, gap)}, {'**in**' if within else 'out'}"


def oracle(results: pd.DataFrame) -> Grid:
    """What the runs with oracle_test score at their last epoch, and by how much the leak lifts them."""
    rows = list(dict.fromkeys(results.loc[results["selection"] == "oracle_test", "row"]))
    measures = [name for name in ("uf1", "uar", "accuracy", "ccc") if name in set(results["metric"])]
    lines = []
    for row in rows:
        own = results[(results["row"] == row) & (results["part"] == "all")]
        honest, leaked = (own[own["selection"] == rule] for rule in ("last", "oracle_test"))
        cells = [row]
        for name in measures:
            low, high = (lines[lines["metric"] == name]["value"].mean() for lines in (honest, leaked))
            cells += [f"{low:.4f}", f"{high:.4f}", f"{high - low:+.4f}"]
        lines.append(cells)
    heads = [head for name in measures for head in (f"{title(name)}: last epoch", f"oracle {DAGGER}", "gap")]
    return ["one training, read twice", *heads], lines


def notes(paper: pd.DataFrame) -> Iterator[str]:
    """What is to be said of printed numbers; one line for each remark, with the rows that it is about."""
    about: dict[str, list[str]] = {}
    for line in paper[paper["note"] != ""].itertuples():
        what = line.row if line.part == "all" else f"{line.row} {line.part}"
        about.setdefault(line.note, []).append(f"{what} ({title(line.metric)})")
    if about:
        yield "Remarks on the printed numbers:\n"
        yield from (f"- {', '.join(rows)}: {note}" for note, rows in about.items())


def markdown(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table of Markdown and an empty line."""
    yield f"| {' | '.join(heads)} |"
    yield f"|{' --- |' * len(heads)}"
    yield from (f"| {' | '.join(cells)} |" for cells in lines)
    yield ""


def _one(values: pd.Series) -> str:
    return ", ".join(dict.fromkeys(value for value in values if value))
