"""The words of a table: what its figures are called, and what a reader of them must know."""

from collections.abc import Iterator, Mapping

import pandas as pd

from fer_lightning.reporting.tables import DAGGER

TITLES = {
    "accuracy_one_vs_rest": "accuracy, one vs rest", "uf1": "UF1", "uar": "UAR", "train_accuracy": "training accuracy",
    "seconds_per_fold": "seconds a fold", "samples_per_second": "samples a second",
    "accuracy_three_sets": "mean accuracy of three sets", "parameters_total": "parameters, total",
    "parameters_train": "parameters, train", "ccc": "CCC", "accuracy_deduplicated": "accuracy without twins",
}  # fmt: skip
ONE_VS_REST = (
    'This paper\'s "accuracy" is the mean one-vs-rest accuracy 1 - (2/3)(1 - h), and its "F1" is the hit rate h, which '
    "others call accuracy: every pair it prints agrees, but for two misprints (Tables 6 and 8). Here the first is "
    "*accuracy, one vs rest*, the second *accuracy*; never compare the one with the other. It prints no macro-F1; UF1 "
    "and UAR are ours alone."
)
DEDUPLICATED = (
    "*accuracy without twins* leaves out the test pictures that are, pixel for pixel, in Training too "
    "([their list](../fer2013-duplicates.csv)); {left} are left. PublicTest, which chooses the epoch, has 280 such too."
)
CONVENTION = (
    "*Ours* is the mean over the seeds; in brackets its 95 % interval for the choice of test samples (bootstrap over "
    "people where they are known, else over samples, all seeds scored on the same drawn; Wilson's for the accuracy of "
    "one seed on samples), then, with several seeds, the least and the greatest."
)
DIFFERENCE = (
    " *Difference* is ours less the paper's; **in**: the printed number lies in that interval, out: it does not."
)
PARTS = (
    "The intervals of the parts are drawn over few people each (SMIC 16, CASME II 24, SAMM 28); percentile bootstraps "
    "over so few are somewhat too narrow."
)
ORACLE = f"{DAGGER} Scored at the epoch that is best on the test samples (oracle_test): a leak, for comparison only."
BUDGETS = {
    "full": "Budget full: the settings",
    "night": "Budget night: what two CPU cores can do overnight",
    "cpu": "Budget cpu: what two CPU cores can do",
    "smoke": "Budget smoke: generated data, says nothing about faces",
}


def conventions(paper: pd.DataFrame, results: pd.DataFrame) -> Iterator[str]:
    """What a reader of the numbers must know."""
    if "accuracy_one_vs_rest" in set(paper["metric"]):
        yield ONE_VS_REST
    left = results.loc[results["metric"] == "accuracy_deduplicated", "n"].unique()
    if len(left):
        yield DEDUPLICATED.format(left=", ".join(left))
    if (results["seed"] != "").any():
        yield f"{CONVENTION}{DIFFERENCE if is_of_paper(paper) else ''}"
    if "samm" in set(results["part"]):
        yield PARTS
    if "oracle_test" in set(results["selection"]):
        yield ORACLE


def heading(budget: str, paper: pd.DataFrame) -> str:
    """What is said above the results at a budget."""
    name, _, data = budget.partition(", ")
    others = " as configured" if name == "full" else ""
    of_paper = {"full": " of the paper", "smoke": ""}.get(name, ", not the paper's settings")
    return f"{BUDGETS[name]}{of_paper if is_of_paper(paper) else others}{f' ({data})' if data else ''}"


def is_of_paper(paper: pd.DataFrame) -> bool:
    """Whether the table is one of a paper, so that printed numbers and settings can be compared with ours."""
    return bool((paper["source"] != "").any())


def budgets_offered(reasons: Mapping[tuple[str, str], str]) -> str:
    """Such as "or cpu, night; ": at which budgets but full (and smoke) a row of the table can be run."""
    open_at = {budget for (_, budget), reason in reasons.items() if not reason}
    there = [name for name in ("cpu", "night") if name in open_at]
    return f"or {', '.join(there)}; " if there else ""


def at_any_budget(reasons: Mapping[tuple[str, str], str]) -> dict[tuple[str, str], str]:
    """Of each row that is nowhere run why not, as its reason at budget full: where its data is not there, that."""
    order = list(BUDGETS)
    found: dict[tuple[str, str], str] = {}
    for row, budget in sorted(reasons, key=lambda key: order.index(key[1].partition(",")[0])):
        reason = reasons[row, budget]
        lacks = reason.startswith("lacks data")
        if lacks or (reason.startswith(("needs", "refused", "failed")) and (row, "full") not in found):
            found[row, "full"] = reason
    return found


def title(metric: str) -> str:
    """The name of a metric for people."""
    return TITLES.get(metric, metric.replace("_", " "))


def number(metric: str, value: float) -> str:
    """Four decimals of a score, three digits of a time, all of a count."""
    if metric.startswith("parameters_"):
        return f"{value:,.0f}"
    return f"{value:.4f}" if metric not in ("seconds_per_fold", "samples_per_second", "hours") else f"{value:.3g}"
