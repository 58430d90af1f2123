"""Two runs that predicted the same samples: by how much they differ, and whether that may be chance."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from fer_lightning.errors import PoolError
from fer_lightning.functional import metrics
from fer_lightning.functional.paired import bootstrap_difference, mcnemar, permutation_difference
from fer_lightning.reporting import units
from fer_lightning.reporting.pool import Pool
from fer_lightning.reporting.scores import confusion
from fer_lightning.reporting.tables import DAGGER
from fer_lightning.reporting.twins import without_twins

#: Said wherever a run with a dagger stands in a table of this file.
LEAKED = f"{DAGGER} Scored at the epoch that was best on the test samples (oracle_test): a leak, so it looks too good."
MEASURES = {"accuracy": metrics.accuracy, "uf1": metrics.uf1, "uar": metrics.uar}
LEVEL, RESAMPLES, PERMUTATIONS, SEED = 0.95, 2000, 9999, 0


SAME = "Both must predict the same samples: take runs of the same data and protocol"


def aligned(tables: Sequence[pd.DataFrame], names: Sequence[str], what: str, remedy: str = SAME) -> list[pd.DataFrame]:
    """The tables with their rows in the order of the first, joined by `sample_id`.

    Args:
        tables: with the columns sample_id, label, group and dataset.
        names: of the runs, for messages.
        what: such as ``tested samples``, for messages.
        remedy: what to do about other samples, for the message.

    Raises:
        PoolError: a table holds other samples, or the same with another label, group or data set.
    """
    first = tables[0].set_index("sample_id")
    rows = []
    for table, name in zip(tables, names, strict=True):
        table = table.set_index("sample_id")
        missing, more = first.index.difference(table.index), table.index.difference(first.index)
        if len(missing) or len(more):
            raise PoolError(
                f"{name} and {names[0]} have different {what}: {len(missing)} are not in {name} (first: "
                f"{missing[:3].tolist()}), {len(more)} are only in {name} (first: {more[:3].tolist()}). {remedy}"
            )
        table = table.loc[first.index]
        for column in ("label", "group", "dataset"):
            other = table.index[table[column] != first[column]]
            if len(other):
                raise PoolError(
                    f"{name} and {names[0]} disagree on the {column} of {len(other)} {what} (first: {other[0]!r}, "
                    f"{table[column][other[0]]!r} and {first[column][other[0]]!r}). Take runs of the same data"
                )
        rows.append(table.reset_index())
    return rows


def check_classes(pools: Sequence[Pool], names: Sequence[str]) -> None:
    """Refuse runs without classes, or with other classes than the first (their order counts).

    Raises:
        PoolError: naming the run and both lists.
    """
    for pool, name in zip(pools, names, strict=True):
        if not pool.classes or pool.classes != pools[0].classes:
            raise PoolError(
                f"{name} predicts the classes {pool.classes or 'none (only values)'}, {names[0]} "
                f"{pools[0].classes or 'none (only values)'}; expected runs with the same classes in the same order"
            )


def is_oracle(pool: Pool) -> bool:
    """Whether the epochs were chosen on test samples; also of an ensemble with such a member."""
    return "oracle_test" in pool.selection


def describe(name: str, pool: Pool) -> dict[str, Any]:
    """A line of a table: name, model, seed, selection and `figures`."""
    return {"name": name, "model": pool.model, "seed": pool.seed, "selection": pool.selection, **figures(pool)}


def figures(pool: Pool) -> dict[str, float]:
    """samples, accuracy, uf1 and uar of a run; on FER2013 also accuracy_deduplicated, see `twins`."""
    counts = confusion(pool.table, pool.classes)
    found = {"samples": int(counts.sum()), **{name: function(counts) for name, function in MEASURES.items()}}
    kept = without_twins(pool.table, pool)
    if len(kept) < len(pool.table):
        found["accuracy_deduplicated"] = metrics.accuracy(confusion(kept, pool.classes))
    return found


def compare(first: Pool, second: Pool, names: tuple[str, str]) -> dict[str, Any]:
    """The difference ``first - second`` and its tests; `names` for messages.

    Returns:
        samples, units (what is drawn), only_first_right, only_second_right, mcnemar_p; of accuracy, uf1 and uar:
        difference, ci95, bootstrap_p (both null where a single group leaves none) and permutation_p; method. Of
        FER2013 also deduplicated: the same but for the method, without the samples that Training holds too.

    Raises:
        PoolError: the runs do not predict the same classes of the same samples.
    """
    check_classes([first, second], names)
    tables = aligned([first.labelled().table, second.labelled().table], names, "tested samples")
    found = _compared(tables, first.classes)
    kept = [without_twins(table, first) for table in tables]
    if 0 < len(kept[0]) < len(tables[0]):
        found["deduplicated"] = _compared(kept, first.classes)
    return found | {"method": _method(tables[0], found["units"])}


def _compared(tables: Sequence[pd.DataFrame], classes: list[str]) -> dict[str, Any]:
    """What `compare` returns, of two aligned tables."""
    hits = [(table["label"] == table["predicted"]).to_numpy() for table in tables]
    only = [int((hits[i] & ~hits[1 - i]).sum()) for i in (0, 1)]
    found = {
        "samples": len(tables[0]),
        "units": units.said(tables[0]),
        "only_first_right": only[0],
        "only_second_right": only[1],
        "mcnemar_p": mcnemar(*only),
    }
    return found | differences(*(units.counts([table], classes) for table in tables))


def differences(first: np.ndarray, second: np.ndarray) -> dict[str, dict[str, Any]]:
    """What two rows of several seeds differ by, in the mean over the seeds; a unit stays together with all of them.

    Args:
        first, second: confusion counts of each unit in each seed, ``(G, S, C, C)``, see `units.counts`.

    Returns:
        Of accuracy, uf1 and uar: difference, ci95, bootstrap_p (both null of a single unit), permutation_p.
    """
    measures = units.means(MEASURES)
    swapped = permutation_difference(first, second, measures, PERMUTATIONS, SEED)
    ends = bootstrap_difference(first, second, measures, RESAMPLES, LEVEL, SEED) if len(first) > 1 else {}
    found = {}
    for name, function in measures.items():
        low, high, p = ends.get(name, (None, None, None))
        found[name] = {
            "difference": float(function(first.sum(axis=0)) - function(second.sum(axis=0))),
            "ci95": [low, high] if ends else None,
            "bootstrap_p": p,
            "permutation_p": swapped[name],
        }
    return found


def _method(table: pd.DataFrame, drawn: str) -> str:
    grouped = units.has_groups(table)
    text = (
        f"Differences: 95 % percentile bootstrap over {drawn}{', each with all its samples' if grouped else ''} "
        f"({RESAMPLES} resamples, both runs scored on the same; two-sided p); permutation test, two-sided, "
        f"{PERMUTATIONS} random swaps of the two runs within {'groups' if grouped else 'samples'}; seed {SEED}. "
        "McNemar: exact, two-sided, of the hits."
    )
    if grouped:
        text += (
            " McNemar takes the samples as independent, which those of one group are not: go by the permutation test "
            "over groups."
        )
    return (
        f"{text} All cover the choice of test samples, not the randomness of training; no p is corrected for the "
        "number of comparisons."
    )


def scores_table(rows: Sequence[dict[str, Any]]) -> Table:
    """A table with one line per run, of `name`, `model`, `seed`, `selection` and the `figures` of it."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column("", overflow="fold")
    table.add_column("model", overflow="fold")
    measures = [*MEASURES, *(["accuracy_deduplicated"] if any("accuracy_deduplicated" in row for row in rows) else [])]
    for header in ("seed", "n", "accuracy", "UF1", "UAR", "accuracy without twins")[: 2 + len(measures)]:
        table.add_column(header, justify="right")
    for row in rows:
        name = row["name"] + (f" {DAGGER}" if "oracle_test" in row["selection"] else "")
        scores = [f"{row[measure]:.4f}" if measure in row else "" for measure in measures]
        table.add_row(name, row["model"], str(row["seed"]), str(row["samples"]), *scores)
    return table


def print_comparison(found: dict[str, Any], names: tuple[str, str], console: Console) -> None:
    """Print what `compare` returns, less its method."""
    _print_differences(found, f"{names[0]} minus {names[1]}", console)
    if "deduplicated" in found:
        number = found["samples"] - found["deduplicated"]["samples"]
        title = f"{names[0]} minus {names[1]}, without the {number} twins: pictures of the test that Training holds too"
        _print_differences(found["deduplicated"], title, console)


def _print_differences(found: dict[str, Any], heading: str, console: Console) -> None:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column("")
    for header in ("difference", "95 %", "p bootstrap", "p permutation"):
        table.add_column(header, justify="right")
    for measure, title in (("accuracy", "accuracy"), ("uf1", "UF1"), ("uar", "UAR")):
        row = found[measure]
        ends = "{:+.4f} {:+.4f}".format(*row["ci95"]) if row["ci95"] else "(one group)"
        drawn = f"{row['bootstrap_p']:.4f}" if row["ci95"] else ""
        table.add_row(title, f"{row['difference']:+.4f}", ends, drawn, f"{row['permutation_p']:.4f}")
    plain = {"markup": False, "highlight": False, "soft_wrap": True}
    console.print(f"\n{heading}", **plain)
    console.print(table)
    hits = f"{found['only_first_right']} hit by the first only, {found['only_second_right']} by the second only"
    line = f"n = {found['samples']}, over {found['units']}; {hits}, McNemar p {found['mcnemar_p']:.4g}"
    console.print(line, **plain)
