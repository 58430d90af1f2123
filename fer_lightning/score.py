"""Rebuild the scores of runs from their predictions: ``python -m fer_lightning.score RUN [RUN ...]``.

Needs neither torch nor the data set: what counts is in the run folder.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fer_lightning.errors import FERError
from fer_lightning.reporting.scores import write_scores
from fer_lightning.reporting.tables import print_scores


def main(arguments: Sequence[str] | None = None) -> int:
    """Score each run folder; return 0, or 2 when one of them cannot be scored."""
    parser = argparse.ArgumentParser(
        prog="python -m fer_lightning.score",
        description="Pool the predictions of finished runs, write scores.json, print the table.",
        epilog="An incomplete or contradictory run is refused with the reason, and the exit status is 2.",
    )
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="run folder (holds predictions/ and config.yaml)"
    )
    parser.add_argument("--figures", action="store_true", help="also redraw figures/*.png")
    options = parser.parse_args(arguments)
    failed = False
    for folder in options.runs:
        try:
            print_scores(write_scores(folder), folder)
            if options.figures:
                from fer_lightning.reporting.figures import (
                    write_figures,
                )  # matplotlib takes a second to import

                for file in write_figures(folder):
                    print(file)
        except FERError as error:
            failed = True
            print(f"error: {error}", file=sys.stderr)
    return 2 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
