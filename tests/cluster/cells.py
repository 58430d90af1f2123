"""What the tests of all launchers share: how to look at the results of a sweep."""

import json
from pathlib import Path
from typing import Any

from tests.runs import SMALL, predictions

#: Four cells of nine folds.
SWEEP = [*SMALL, "optimizer=adam,sgd", "seed=0,1", "-m"]
FOLD_JOBS = [*SMALL, "protocol=loso_jobs", "protocol.index=range(0,9)", "-m"]


def cells(runs: Path) -> dict[str, dict[str, bytes]]:
    """Run folder, relative to `runs` -> its predictions, file by file."""
    folders = sorted(file.parent for file in runs.glob("*/*/*/*/manifest.csv"))
    return {str(folder.relative_to(runs)): predictions(folder) for folder in folders}


def scores(runs: Path) -> list[dict[str, Any]]:
    """scores.json of each run folder, without seconds and without the commit, which may change while one waits."""
    files = sorted(runs.glob("*/*/*/*/scores.json"))
    made = ("seconds", "versions")
    return [{key: value for key, value in json.loads(file.read_text()).items() if key not in made} for file in files]
