"""Counts of a release, and whether a manifest has them."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from fer_lightning.errors import ConfigError, DatasetError


def count(manifest: pd.DataFrame) -> dict[str, Any]:
    """Counts in the form of ``expects``: samples, groups, splits, labels. An empty group or split is not counted."""
    return {
        "samples": len(manifest),
        "groups": manifest.loc[manifest["group"] != "", "group"].nunique(),
        "splits": manifest.loc[manifest["split"] != "", "split"].value_counts().to_dict(),
        "labels": manifest["label"].value_counts().to_dict(),
    }


def compare(found: Mapping[str, Any], expects: Mapping[str, Any], where: str) -> str:
    """The name of the release whose counts these are; "" where only one is known.

    Args:
        found: see `count`.
        expects: such counts, see `contract.check`.
        where: what to call the manifest in messages.

    Raises:
        DatasetError: they are those of no release; the differences are listed.
        ConfigError: `expects` names something that is not counted.
    """
    releases = expects.get("releases") or {"": {}}
    shared = {key: value for key, value in expects.items() if key != "releases"}
    failed = {}
    for name, counts in releases.items():
        failed[name] = _differences(found, {**shared, **counts})
        if not failed[name]:
            return name
    listed = "; ".join(f"release {name}: {', '.join(d)}" if name else ", ".join(d) for name, d in failed.items())
    raise DatasetError(
        f"{where}: {listed}. Is the raw folder complete, and is this the release that the data config names? "
        "data.expects=null and data.expects_view=null go on with what is there; such scores are not comparable."
    )


def _differences(found: Mapping[str, Any], expects: Mapping[str, Any]) -> list[str]:
    unknown = set(expects) - set(found)
    if unknown:
        raise ConfigError(f"data.expects names {sorted(unknown)}, which is none of {sorted(found)} or releases")
    differences = []
    for key, wanted in expects.items():
        if wanted is None:
            continue
        if not isinstance(wanted, Mapping):
            if wanted != found[key]:
                differences.append(f"expected {wanted} {key}, found {found[key]}")
            continue
        for name in sorted({*wanted, *found[key]}, key=str):
            if wanted.get(name, 0) != found[key].get(name, 0):
                differences.append(
                    f"expected {wanted.get(name, 0)} {key[:-1]} {name!r}, found {found[key].get(name, 0)}"
                )
    return differences
