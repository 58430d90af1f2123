"""How each result of a table was made: protocol, seeds, seconds, device, commit, command."""

import re
from collections.abc import Sequence
from typing import Any

from fer_lightning.reporting.papers.results import listed, most, text


def runs(cells: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """How each result was made, one line a row."""
    lines = []
    for row in dict.fromkeys(facts["row"] for facts in cells):
        own = [facts for facts in cells if facts["row"] == row]
        first, seconds = own[0], [sum(facts["folds"]["seconds"]) for facts in own]
        folds = len(first["folds"]["fold"])
        lines.append([
            row, first["data"], f"{first['protocol']}, {folds} fold{'s' if folds > 1 else ''}", first["selection"],
            ", ".join(str(facts["seed"]) for facts in own), str(most(first["folds"]["epochs"])),
            f"{sum(seconds) / len(seconds):,.0f}", text(first["device"]), commits(own), commands(own),
        ])  # fmt: skip
    heads = ["row", "data", "protocol", "selection", "seeds", "epochs", "seconds a run", "device", "commit", "command"]
    return heads, lines


def commits(cells: Sequence[dict[str, Any]]) -> str:
    """The commits of all seeds of a row, each once."""
    return ", ".join(dict.fromkeys(name for facts in cells for name in short_commit(facts).split(", ")))


def commands(cells: Sequence[dict[str, Any]]) -> str:
    """The command of a row's first seed, and of later ones that were made by another than that with their seed."""
    said: dict[str, list[dict[str, Any]]] = {}
    for facts in cells:
        said.setdefault(re.sub(rf"\b(seeds?[= ]){facts['seed']}\b", r"\1", facts["command"]), []).append(facts)
    first, *others = said.values()
    later = [f"seed {', '.join(str(facts['seed']) for facts in own)}: `{own[0]['command']}`" for own in others]
    return "; ".join([f"`{first[0]['command']}`", *later])


def short_commit(facts: dict[str, Any]) -> str:
    """Seven signs of each commit, and whether files were changed."""
    commits = [version["commit"] for version in listed(facts["versions"])]
    return text([commit[:7] + ("-dirty" if commit.endswith("-dirty") else "") for commit in commits])
