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
from fer_lightning.reporting.tables import DAGGER

BEGIN, END = "<!-- generated -->", "<!-- end -->"
TITLES = {
    "accuracy_one_vs_rest": "accuracy, one vs rest", "uf1": "UF1", "uar": "UAR", "train_accuracy": "training accuracy",
    "seconds_per_fold": "seconds a fold", "samples_per_second": "samples a second",
    "accuracy_three_sets": "mean accuracy of three sets", "parameters_total": "parameters, total",
    "parameters_train": "parameters, train", "ccc": "CCC", "accuracy_deduplicated": "accuracy without duplicates",
}  # fmt: skip
#: Names of the columns, and the texts of each line.
Grid = tuple[list[str], list[list[str]]]
#: No run here is of three data sets.
PRINTED_ONLY = ("accuracy_three_sets",)
#: Figures that a paper may not print and that say more than those it does.
ALWAYS = ("accuracy", "uf1", "uar", "accuracy_deduplicated")
ONE_VS_REST = (
    'This paper\'s "accuracy" is the mean one-vs-rest accuracy 1 - (2/3)(1 - h), and its "F1" is the hit rate h, which '
    "others call accuracy: every pair it prints agrees. Here the first is *accuracy, one vs rest*, the second "
    "*accuracy*; never compare the one with the other. It prints no macro-F1; UF1 and UAR are ours alone."
)
DEDUPLICATED = (
    "*accuracy without duplicates* leaves out the test pictures that are, pixel for pixel, in Training too "
    "([their list](../fer2013-duplicates.csv)); {left} are left."
)
CONVENTION = (
    "*Ours* is the mean over the seeds; in brackets the 95 % interval for the choice of test samples (the mean of the "
    "seeds' intervals: bootstrap over people where they are known, else Wilson for accuracy and bootstrap over "
    "samples), then, with several seeds, the least and the greatest. *Difference* is ours less the paper's; **in**: "
    "the printed number lies in that interval, out: it does not."
)
ORACLE = f"{DAGGER} Scored at the epoch that is best on the test samples (oracle_test): a leak, for comparison only."
BUDGETS = {
    "full": "Budget full: the paper's settings",
    "night": "Budget night: what two CPU cores can do overnight, not the paper's settings",
    "cpu": "Budget cpu: what two CPU cores can do, not the paper's settings",
    "smoke": "Budget smoke: generated data, says nothing about faces",
}


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
    reasons = {key: reason for key, reason in reasons.items() if reason} | missing.read(table)
    sources = ", ".join(dict.fromkeys(source for source in paper["source"] if source)) or "nothing is printed"
    yield f"Printed: {sources} ([paper.csv](paper.csv)). Ours: [results.csv](results.csv)."
    yield f"\n```sh\nmake reproduce TABLE={table.name} BUDGET=full    # or cpu, night; SEEDS=0,1,2\n```\n"
    for sentence in conventions(paper, results):
        yield from (sentence, "")
    budgets = budgets_of(results)
    for budget in budgets:
        yield f"### {heading(budget)}\n"
        own = of_budget(results, budget)
        yield from markdown(*figures(paper, own, budget, reasons))
        heads, lines = oracle(own)
        yield from markdown(heads, lines) if lines else ()
        ran = [facts for facts in cells if budget_name(facts) == budget]
        heads, lines = against_first(table, ran)
        yield from [METHOD, "", *markdown(heads, lines)] if lines else ()
        yield from markdown(*runs(ran))
    if not budgets:
        yield from markdown(*figures(paper, results, "full", reasons))
    yield from notes(paper)


def conventions(paper: pd.DataFrame, results: pd.DataFrame) -> Iterator[str]:
    """What a reader of the numbers must know."""
    if "accuracy_one_vs_rest" in set(paper["metric"]):
        yield ONE_VS_REST
    left = results.loc[results["metric"] == "accuracy_deduplicated", "n"].unique()
    if len(left):
        yield DEDUPLICATED.format(left=", ".join(left))
    if (results["seed"] != "").any():
        yield CONVENTION
    if "oracle_test" in set(results["selection"]):
        yield ORACLE


def budgets_of(results: pd.DataFrame) -> list[str]:
    """Budgets with a result, each with the other data set that was asked for, if any."""
    found = results.loc[results["seed"] != "", "budget"].unique()
    return sorted(found, key=lambda budget: (list(BUDGETS).index(budget.partition(",")[0]), budget))


def heading(budget: str) -> str:
    """What is said above the results at a budget."""
    name, _, data = budget.partition(", ")
    return f"{BUDGETS[name]}{f' ({data})' if data else ''}"


def of_budget(results: pd.DataFrame, budget: str) -> pd.DataFrame:
    """Results at a budget, and what is counted, which depends on none."""
    return results[(results["budget"] == budget) | (results["seed"] == "")]


def read_results(table: Path) -> pd.DataFrame:
    """``results.csv`` with numbers as numbers; text columns have "" where nothing stands."""
    numbers = ["value", "low", "high"]
    results = pd.read_csv(table / "results.csv", dtype=str, keep_default_na=False)
    return results.assign(**{name: pd.to_numeric(results[name]) for name in numbers})


def read_cells(table: Path) -> list[dict[str, Any]]:
    """Facts of the committed runs, in the order of the rows of paper.csv and of the seeds."""
    order = list(dict.fromkeys(read_paper(table)["row"]))
    cells = map(read_facts, (table / "predictions").glob("*-seed*.json"))
    return sorted(cells, key=lambda facts: (order.index(facts["row"]), budget_name(facts), facts["seed"]))


def figures(paper: pd.DataFrame, results: pd.DataFrame, budget: str, reasons: Mapping[tuple[str, str], str]) -> Grid:
    """One line for each row and part: printed, ours and difference of each metric, then what is not printed."""
    printed = list(dict.fromkeys(paper["metric"]))
    extra = [name for name in ALWAYS if name not in printed and name in set(results["metric"])]
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
        lines.append([*cells, *(ours(own, name) for name in extra)])
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
    if lines["low"].notna().any():
        inside.append(f"{lines['low'].mean():.3f} to {lines['high'].mean():.3f}")
    if lines["seed"].nunique() > 1:
        inside.append(f"{lines['seed'].nunique()} seeds {number(metric, lines['value'].min())} to "
                      f"{number(metric, lines['value'].max())}")  # fmt: skip
    mark = f" {DAGGER}" if "oracle_test" in set(lines["selection"]) else ""
    return f"{found}{mark} ({'; '.join(inside)})" if inside else f"{found}{mark}"


def difference(own: pd.DataFrame, metric: str, printed: str) -> str:
    """Ours less the paper's, and whether the paper's lies in our interval."""
    lines = own[own["metric"] == metric]
    gap = lines["value"].mean() - float(printed)
    sign = "" if gap < 0 or number(metric, gap) == number(metric, 0) else "+"
    if lines["low"].isna().any():
        return f"{sign}{number(metric, gap)}"
    within = lines["low"].mean() <= float(printed) <= lines["high"].mean()
    return f"{sign}{number(metric, gap)}, {'**in**' if within else 'out'}"


def title(metric: str) -> str:
    """The name of a metric for people."""
    return TITLES.get(metric, metric.replace("_", " "))


def number(metric: str, value: float) -> str:
    """Four decimals of a score, three digits of a time, all of a count."""
    if metric.startswith("parameters_"):
        return f"{value:,.0f}"
    return f"{value:.4f}" if metric not in ("seconds_per_fold", "samples_per_second", "hours") else f"{value:.3g}"


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
