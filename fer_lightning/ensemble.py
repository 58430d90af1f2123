"""Ensembles from prediction files alone: ``python -m fer_lightning.ensemble RUN RUN [RUN ...] [--rule R]``.

Trains nothing, needs neither torch nor the data set: what counts is in the run folders.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fer_lightning.errors import FERError

RULES = """rules:
  mean      mean of the probabilities
  logmean   geometric mean of the probabilities, normalised again
  vote      class predicted by most members; ties are decided by the mean probability
  weights   weighted mean; weights >= 0 with sum 1, fitted fold by fold on validation/<fold>.csv of the members
            (least cross entropy), never on the test

The result is a folder like that of a run, so `python -m fer_lightning.score` reads it, with ensemble.json and
README.md: members, weights, the difference to the best member (by validation UF1, where the members have validation
predictions of the same samples, otherwise by test UF1) with 95 % interval and paired tests.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Mix the runs, score the ensemble, compare it with its best member; return 0, or 2 when that is refused."""
    parser = argparse.ArgumentParser(
        prog="python -m fer_lightning.ensemble",
        description="Mix the predictions of finished runs of the same samples and score the ensemble.",
        epilog=RULES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run folder (a member); quoted, * and ? work too")
    parser.add_argument("--rule", default="mean", choices=("mean", "logmean", "vote", "weights"), help="default: mean")
    parser.add_argument(
        "--weights", dest="rule", action="store_const", const="weights", help="short for --rule weights"
    )
    parser.add_argument("--out", type=Path, help="default: $FER_RUNS/ensembles/<hash of members and rule>")
    parser.add_argument(
        "--views", choices=("mean", "vote", "centre"), help="first put each member's saved views together in this way"
    )
    parser.add_argument("--last-epoch", action="store_true", help="take the last epoch of members with "
                        "selection=oracle_test, not the one that is best on the test samples")  # fmt: skip
    options = parser.parse_args(arguments)
    # pandas and scipy take a second to import; --help needs neither
    from fer_lightning.reporting.ensemble import write_ensemble
    from fer_lightning.reporting.members import find

    runs = Path(os.environ.get("FER_RUNS", "runs"))
    try:
        folder, report = write_ensemble(
            find(options.runs), options.rule, runs, options.out, options.views, options.last_epoch
        )
    except FERError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print_ensemble(folder, report)
    return 0


def print_ensemble(folder: Path, report: dict[str, Any]) -> None:
    """Print what was mixed, what it scores, and the comparison with the best member."""
    from rich.console import Console

    from fer_lightning.reporting.compare import print_comparison, scores_table
    from fer_lightning.reporting.tables import SYNTHETIC

    console, plain = Console(), {"markup": False, "highlight": False, "soft_wrap": True}
    rule = report["rule"] + (f", {report['views']} of views" if report["views"] else "")
    ensemble = {"name": "ensemble", "model": rule, "seed": "", "selection": report["selection"]}
    console.print(scores_table([*report["members"], ensemble | report["ensemble"]]))
    if report["weights"]:
        folds = list(report["weights"].values())
        for place, member in enumerate(report["members"]):
            each = [weights[place] for weights in folds]
            spread = f" ({min(each):.3f}-{max(each):.3f} in {len(folds)} folds)" if len(folds) > 1 else ""
            console.print(f"weight of {member['name']}: {sum(each) / len(each):.3f}{spread}", **plain)
    print_comparison(report["minus_best"], ("ensemble", report["best"]), console)
    lines = [f"Best member by {report['best_chosen_by']}", report["minus_best"]["method"], *report["notes"]]
    for line in [*lines, *([SYNTHETIC] if report["synthetic"] else []), str(folder)]:
        console.print(line, **plain)


if __name__ == "__main__":
    sys.exit(main())
