"""What a reader of an ensemble must know, in words."""

from typing import Any

import numpy as np

from fer_lightning.reporting.compare import MEASURES, is_oracle
from fer_lightning.reporting.members import Members
from fer_lightning.reporting.tables import DAGGER
from fer_lightning.reporting.twins import twins_of

BY_HAND = "The members were given by hand. Had they been chosen by their test scores, the figures would be too good."
ORACLE = (
    f"{DAGGER} {{names}}: scored at the epoch that was best on the test samples (oracle_test). That is a leak, and the "
    "ensemble inherits it: compare it only with papers that did the same."
)
TESTED = (
    "{names}: {number} of the {total} validation samples of all members are tested samples too, in other folds. The "
    "weights of a fold do not depend on its test samples, but a best member that is chosen on the validation samples "
    "of all folds is not chosen apart from the test."
)
TWINS = (
    "{tested} of the tested and {used} of the validation pictures are, pixel for pixel, in Training too (twins). A "
    "member that knows its training set by heart is right on them. Weights and best member are chosen without those "
    "of the validation; *accuracy without twins* and the second difference leave out those of the test."
)
FILES = """`python -m fer_lightning.score <this folder>` scores `predictions/` again; all figures, tests and the
fingerprints of the members' files are in `ensemble.json`. In `scores.json`, `seed` is 0, since nothing is drawn at
random, and `seconds` is what the training of the members took."""


def notes(members: Members, rule: str, mixed: np.ndarray, honest: dict[str, float] | None) -> list[str]:
    """About the members; `mixed`: what `combine` returned, ``(n, C)``; `honest`: scores without the leak."""
    names, pools = members.names, members.pools
    found = [BY_HAND]
    oracle = [name for name, pool in zip(names, pools, strict=True) if is_oracle(pool)]
    if oracle:
        found.append(ORACLE.format(names=", ".join(oracle)))
    if honest:
        scores = ", ".join(f"{name} {value:.4f}" for name, value in honest.items())
        found.append(f"The same ensemble with the last epoch of these members, without the leak: {scores}.")
    if len({pool.selection for pool in pools}) > 1:
        each = ", ".join(f"{name} {pool.selection}" for name, pool in zip(names, pools, strict=True))
        found.append(f"The members chose their epochs in different ways: {each}.")
    for place, content in enumerate(members.fingerprints):
        if content in members.fingerprints[:place]:
            same = names[members.fingerprints.index(content)]
            found.append(f"{names[place]} has the same predictions as {same}: it counts twice.")
    if (members.folds != members.folds[0]).any():
        found.append(
            f"The members tested the samples in different folds; the files are named after those of {names[0]}."
        )
    tested = set(members.table["sample_id"])
    used = {
        name: set(pool.validation["sample_id"])
        for name, pool in zip(names, pools, strict=True)
        if pool.validation is not None
    }
    shared = [name for name, ids in used.items() if ids & tested]
    if shared:
        union = set().union(*used.values())
        found.append(TESTED.format(names=", ".join(shared), number=len(union & tested), total=len(union)))
    twins = twins_of(pools[0]) if all(twins_of(pool) for pool in pools) else frozenset()
    if twins & tested:
        found.append(TWINS.format(tested=len(twins & tested), used=len(twins & set().union(*used.values()))))
    if rule == "vote":
        highest = np.sort(mixed, axis=1)[:, ::-1]
        ties = int((highest[:, 0] == highest[:, 1]).sum())
        found.append(f"{ties} of {len(mixed)} votes were ties, decided by the mean probability of the tied classes.")
    return found


def readme(report: dict[str, Any]) -> str:
    """README.md, from the content of ensemble.json."""
    views = f", views: {report['views']}" if report["views"] else ""
    this = {"name": "**ensemble**", "model": "", "seed": "", "selection": report["selection"], **report["ensemble"]}
    columns = ("name", "model", "seed", "selection", "samples")
    number = len(report["members"])
    lines = [f"# Ensemble of {number} run{'s' * (number > 1)} (rule: {report['rule']}{views})", ""]
    twins = "deduplicated" in report["minus_best"]
    heads = ["", "model", "seed", "selection", "n", "accuracy", "UF1", "UAR", *["accuracy without twins"] * twins]
    lines += [f"| {' | '.join(heads)} |".replace("|  |", "| |"), f"|{' --- |' * len(heads)}"]
    measures = [*MEASURES, *["accuracy_deduplicated"] * twins]
    for row in (*report["members"], this):
        cells = [*(str(row[name]) for name in columns), *(f"{row[name]:.4f}" for name in measures)]
        lines.append(f"| {' | '.join(cells)} |")
    found = report["minus_best"]
    without = f" Without twins: {_differences(found['deduplicated'])}." if twins else ""
    lines += [
        "",
        f"Best member: {report['best']}, by {report['best_chosen_by']}",
        "",
        f"Ensemble minus best member: {_differences(found)}; p of the permutation test.{without} {found['method']}",
        "",
        *(f"- {note}" for note in report["notes"]),
        "",
        FILES,
    ]
    return "\n".join(lines) + "\n"


def _differences(found: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {found[name]['difference']:+.4f} (p {found[name]['permutation_p']:.4f})" for name in MEASURES
    )
