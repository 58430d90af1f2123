"""Ensembles out of prediction files: the members' predictions are mixed, and scored like those of a run.

The folder that is written is a run folder as far as `pool.read_pool` reads it, and holds besides::

    ensemble.json    members, weights, the best member, the difference to it with its tests, notes
    README.md        the same in words

Nothing is trained, and no test label chooses anything: weights are fitted on validation predictions, the members are
given by hand.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from fer_lightning.errors import ConfigError, FERError
from fer_lightning.files import write_atomically
from fer_lightning.functional import metrics
from fer_lightning.functional.mixing import combine, mixture_weights
from fer_lightning.reporting.compare import MEASURES, compare, confusion, describe, figures, is_oracle
from fer_lightning.reporting.ensemble_text import notes, readme
from fer_lightning.reporting.epochs import at_last_epoch, fact
from fer_lightning.reporting.members import Members, read_members, validation_by_fold
from fer_lightning.reporting.pool import KEYS, read_pool
from fer_lightning.reporting.rows import probability_columns
from fer_lightning.reporting.scores import distinct, write_scores
from fer_lightning.reporting.tables import DAGGER


def write_ensemble(
    folders: Sequence[Path],
    rule: str,
    runs: Path,
    out: Path | None = None,
    views: str | None = None,
    last: bool = False,
) -> tuple[Path, dict[str, Any]]:
    """Mix the predictions of runs and write a folder that can be scored like a run.

    Args:
        folders: of the members.
        rule: see `mixing.combine`; `weights` are fitted for each fold on the validation predictions of that fold.
        runs: the ensemble is written to ``<runs>/ensembles/<hash of members and rule>``, the same for the same members.
        out: another folder for it.
        views, last: see `members.read_members`.

    Returns:
        The folder and the content of ``ensemble.json``.

    Raises:
        ConfigError: options or members that do not fit each other, or a folder that holds something else.
        PoolError: a member is incomplete, or the members disagree.
        StorageError: a file could not be written.
    """
    if rule == "weights" and views:
        raise ConfigError("--views does not go with --rule weights: validation predictions are kept without views")
    members = read_members(folders, views, last)
    weights = fold_weights(members) if rule == "weights" else {}
    mixed, predicted = combine(rule, members.probabilities, members.chosen, _per_sample(members, weights))
    config = _config(members, rule, views)
    out = out or runs / "ensembles" / config["ensemble"]["identity"]
    facts = _facts(members, config)
    _claim(out, config)
    _write_predictions(out, members, mixed, predicted, facts, weights)
    write_scores(out)
    pool = read_pool(out)
    best, chosen_by = _best(members)
    honest = _honest(members, rule, weights)
    report = {
        **config["ensemble"],
        "selection": pool.selection,
        "members": [
            describe(name, run) | {"sha256": sha}
            for name, run, sha in zip(members.names, members.pools, members.fingerprints, strict=True)
        ],
        "weights": {fold: row.tolist() for fold, row in weights.items()} or None,
        "ensemble": figures(pool),
        "honest": honest,
        "best": members.names[best],
        "best_chosen_by": chosen_by,
        "minus_best": compare(pool, members.pools[best], ("the ensemble", members.names[best])),
        "notes": notes(members, rule, mixed, honest),
        "synthetic": pool.synthetic,
    }  # fmt: skip
    write_atomically(out / "ensemble.json", json.dumps(report, indent=2, allow_nan=False, ensure_ascii=False) + "\n")
    write_atomically(out / "README.md", readme(report))
    return out, report


def fold_weights(members: Members) -> dict[str, np.ndarray]:
    """Fold -> weights ``(M,)`` with the least cross entropy on the fold's validation predictions.

    Raises:
        ConfigError: a member has no validation predictions, or the members have other folds.
        PoolError: they have other validation samples.
    """
    classes, weights = members.pools[0].classes, {}
    for fold, tables in validation_by_fold(members).items():
        true = pd.Index(classes).get_indexer(tables[0]["label"])[:, None]
        given = [table[probability_columns(classes)].to_numpy(dtype=float) for table in tables]
        weights[fold] = mixture_weights(np.hstack([np.take_along_axis(each, true, axis=1) for each in given]))
    return weights


def _per_sample(members: Members, weights: dict[str, np.ndarray]) -> np.ndarray | None:
    return np.stack([weights[fold] for fold in members.table["fold"]]) if weights else None


def _config(members: Members, rule: str, views: str | None) -> dict[str, Any]:
    lines = [rule, str(views), *(f"{n} {s}" for n, s in zip(members.names, members.fingerprints, strict=True))]
    selections = sorted({pool.selection for pool in members.pools})
    selection = selections[0] if len(selections) == 1 else f"mixed ({', '.join(selections)})"
    if any(is_oracle(pool) for pool in members.pools):
        which = "all" if all(is_oracle(pool) for pool in members.pools) else "some"
        selection = f"oracle_test of {which} members {DAGGER}"
    name = f"ensemble_{rule}" if len(members.pools) > 1 else members.pools[0].model
    return {
        "model_name": name + (f"_{views}_of_views" if views else ""),
        "seed": 0,  # nothing is drawn; the members' seeds are in ensemble.json
        "data": {"name": _joined(pool.data for pool in members.pools), "classes": members.pools[0].classes},
        "protocol": {"name": _joined(pool.protocol for pool in members.pools), "selection": selection},
        "task": {"num_classes": len(members.pools[0].classes)},
        "ensemble": {
            "identity": hashlib.sha256("\n".join(lines).encode()).hexdigest()[:8],
            "rule": rule,
            "views": views,
            "members": [{"name": n, "sha256": s} for n, s in zip(members.names, members.fingerprints, strict=True)],
        },
    }


def _joined(names: Any) -> str:
    return "+".join(dict.fromkeys(names))


def _claim(out: Path, config: dict[str, Any]) -> None:
    """Write ``config.yaml``; refuse a folder with anything but this ensemble in it."""
    file = out / "config.yaml"
    if out.is_dir() and any(out.iterdir()):
        try:
            found = yaml.safe_load(file.read_bytes()) if file.is_file() else None
        except (ValueError, RecursionError, yaml.YAMLError):  # nor is it the config of an ensemble
            found = None
        there = found.get("ensemble") if isinstance(found, dict) else None
        if there != config["ensemble"]:
            there = there if isinstance(there, dict) and {"identity", "rule"} <= there.keys() else None
            held = f"ensemble {there['identity']} (rule {there['rule']})" if there else "something that is no ensemble"
            raise ConfigError(
                f"{out} holds {held}, expected nothing or ensemble {config['ensemble']['identity']}. Choose another "
                "--out, or leave it out"
            )
    write_atomically(file, yaml.safe_dump(config, sort_keys=False, allow_unicode=True))


def _facts(members: Members, config: dict[str, Any]) -> dict[str, Any]:
    """What ``predictions/<fold>.json`` says of every fold."""
    made = [(pool, fold) for pool in members.pools for fold in pool.folds]
    seconds = sum(fact(pool, fold, "seconds", int | float) for pool, fold in made)
    return {
        "fold": "", "seed": 0, "selection": config["protocol"]["selection"], **config["ensemble"], "weights": None,
        # What it took to train the members, shared out evenly: they may have had other folds.
        "seconds": round(seconds / members.table["fold"].nunique(), 3),
        "device": distinct([fact(pool, fold, "device") for pool, fold in made]),
        "versions": distinct([fact(pool, fold, "versions") for pool, fold in made]),
    }  # fmt: skip


def _write_predictions(
    out: Path, members: Members, mixed: np.ndarray, predicted: np.ndarray, facts: dict[str, Any],
    weights: dict[str, np.ndarray],
) -> None:  # fmt: skip
    classes = members.pools[0].classes
    table = members.table.assign(predicted=np.array(classes)[predicted])
    table[probability_columns(classes)] = mixed
    write_atomically(out / "manifest.csv", table[KEYS].to_csv(index=False, lineterminator="\n"))
    synthetic = any(pool.synthetic for pool in members.pools)
    write_atomically(out / "run.json", json.dumps({"synthetic": synthetic}) + "\n")
    for fold, rows in table.groupby("fold", sort=False):
        own = facts | {"fold": fold} | ({"weights": weights[fold].tolist()} if weights else {})
        write_atomically(out / "predictions" / f"{fold}.json", json.dumps(own, indent=2, ensure_ascii=False) + "\n")
        rows = rows[["sample_id", "fold", "label", "predicted", *probability_columns(classes)]]
        text = rows.to_csv(index=False, float_format="%.8f", lineterminator="\n")
        write_atomically(out / "predictions" / f"{fold}.csv", text)


def _best(members: Members) -> tuple[int, str]:
    """The member with the highest UF1, and a sentence how it was chosen."""
    try:
        by_fold = validation_by_fold(members)
    except FERError as error:
        scores = [figures(pool)["uf1"] for pool in members.pools]
        return int(np.argmax(scores)), (
            "test UF1 (this flatters that member, so the tests against it are conservative), since validation "
            f"predictions could not choose: {error}"
        )
    pooled = [pd.concat(tables) for tables in zip(*by_fold.values(), strict=True)]
    scores = [metrics.uf1(confusion(table, members.pools[0].classes)) for table in pooled]
    return int(np.argmax(scores)), f"validation UF1 ({max(scores):.4f})"


def _honest(members: Members, rule: str, weights: dict[str, np.ndarray]) -> dict[str, float] | None:
    """What the same ensemble scores when members with selection=oracle_test predict at their last epoch."""
    if not any(is_oracle(pool) for pool in members.pools):
        return None
    probabilities, chosen = members.probabilities.copy(), members.chosen.copy()
    for place, pool in enumerate(members.pools):
        if not is_oracle(pool):
            continue
        if pool.selection != "oracle_test":
            return None  # an ensemble itself: it has kept no epochs
        last = at_last_epoch(pool).table.set_index("sample_id").loc[members.table["sample_id"]]
        probabilities[place] = last[probability_columns(pool.classes)]
        chosen[place] = probabilities[place].argmax(axis=-1)
    _, predicted = combine(rule, probabilities, chosen, _per_sample(members, weights))
    classes = members.pools[0].classes
    counts = confusion(members.table.assign(predicted=np.array(classes)[predicted]), classes)
    return {name: function(counts) for name, function in MEASURES.items()}
