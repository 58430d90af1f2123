"""Write the page: shell, style, script and data in one file that asks nothing of the network."""

import html
import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from fer_lightning.reporting.tables import DAGGER, SELECTION, SYNTHETIC

#: Content and scripts of the page of runs, and of the page of the papers' tables.
RUNS = ("runs.html", ("charts.js", "table.js", "sheet.js", "start.js"))
PAPERS = ("papers.html", ("charts.js", "markdown.js", "papers.js"))


def page(found: dict[str, Any], title: str, kind: tuple[str, Sequence[str]] = RUNS) -> str:
    """The HTML text for what `collect` or `collect_papers` found. The same `found` gives the same text.

    Args:
        found: what the page shows, as plain JSON.
        title: heading and title of the page.
        kind: `RUNS` or `PAPERS`.
    """
    content, scripts = kind
    room = files("fer_lightning.reporting.page")
    texts = {"selection": SELECTION, "synthetic": SYNTHETIC, "dagger": DAGGER}
    data = json.dumps(found | {"texts": texts}, separators=(",", ":"), allow_nan=False)
    parts = {
        "TITLE": html.escape(title),
        "MAIN": (room / content).read_text("utf-8"),
        "STYLE": (room / "page.css").read_text("utf-8"),
        "SCRIPT": "\n".join((room / name).read_text("utf-8") for name in scripts),
        "DATA": data.replace("<", "\\u003c"),  # so that no text in it can end the script element
    }
    before, *rest = (room / "shell.html").read_text("utf-8").split("{{")
    # Split first, fill then: what is filled in is never searched for places.
    return before + "".join(parts[name] + after for name, after in (piece.split("}}", 1) for piece in rest))
