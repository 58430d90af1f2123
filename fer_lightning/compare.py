"""Is one run better than another? ``python -m fer_lightning.compare RUN RUN [RUN ...]``: paired tests.

Needs neither torch nor the data set: what counts is in the run folders.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fer_lightning.errors import ConfigError, FERError

if TYPE_CHECKING:
    from fer_lightning.reporting.pool import Pool


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare the first run with each of the others; return 0, or 2 when a run cannot be compared."""
    parser = argparse.ArgumentParser(
        prog="python -m fer_lightning.compare",
        description="Compare the first run with each of the others on the samples that both predicted: the difference "
        "in accuracy, UF1 and UAR with a 95 % interval, two tests over groups (people, videos), and McNemar's.",
        epilog="Runs that did not predict the same classes of the same samples are refused; the exit status is 2.",
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run folder; quoted, * and ? work too; at least two")
    options = parser.parse_args(arguments)
    # pandas and scipy take a second to import; --help needs neither
    from rich.console import Console

    from fer_lightning.reporting.compare import LEAKED, compare, describe, is_oracle, print_comparison, scores_table
    from fer_lightning.reporting.members import find, member_names
    from fer_lightning.reporting.pool import read_pool
    from fer_lightning.reporting.tables import SYNTHETIC

    try:
        folders = find(options.runs)
        if len(folders) < 2:
            raise ConfigError(f"a comparison needs at least 2 runs, found {len(folders)}: {folders[0]}")
        pools, names = [read_pool(folder) for folder in folders], member_names(folders)
        console = Console()
        found = [compare(pools[0], pool, (names[0], name)) for pool, name in zip(pools[1:], names[1:], strict=True)]
        console.print(scores_table([describe(name, pool.labelled()) for name, pool in zip(names, pools, strict=True)]))
        for comparison, name in zip(found, names[1:], strict=True):
            print_comparison(comparison, (names[0], name), console)
        notes = [note for place in range(1, len(pools)) for note in remarks(pools, names, place)]
        notes += [found[0]["method"]]
        notes += [LEAKED] if any(is_oracle(pool) for pool in pools) else []
        notes += [SYNTHETIC] if any(pool.synthetic for pool in pools) else []
        for note in notes:
            console.print(note, markup=False, highlight=False, soft_wrap=True)
    except FERError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def remarks(pools: "Sequence[Pool]", names: Sequence[str], place: int) -> list[str]:
    """What makes the comparison of the first run with number `place` another one than of two ways to train.

    Args:
        pools: runs that predict the same labelled samples.
        names: of each.
        place: from 1.
    """
    from fer_lightning.reporting.rows import probability_columns

    here, there = (pools[number].labelled().table.set_index("sample_id") for number in (0, place))
    there, name, first = there.loc[here.index], names[place], names[0]
    told = []
    if pools[place].folder.resolve() == pools[0].folder.resolve():
        told.append(f"{name} is compared with itself: there can be no difference.")
    elif all((here[column] == there[column]).all() for column in ("predicted", *probability_columns(pools[0].classes))):
        told.append(f"{name} has the same predictions as {first}: there can be no difference.")
    # Their names may differ: two folds are the same if they test the same samples.
    numbers = [table["fold"].nunique() for table in (there, here)]
    if len(set(zip(there["fold"], here["fold"], strict=True))) > min(numbers) or numbers[0] != numbers[1]:
        said = [f"{number} fold{'s' * (number > 1)}" for number in numbers]
        told.append(
            f"{name} tested the samples in other folds than {first} ({said[0]}, {first}: {said[1]}), so both were "
            "trained on different samples: the difference is not one of the networks alone."
        )
    return told


if __name__ == "__main__":
    sys.exit(main())
