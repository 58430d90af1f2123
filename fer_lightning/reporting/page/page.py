"""Write the page: template, style, script and data in one file that asks nothing of the network."""

import html
import json
from importlib.resources import files
from typing import Any

from fer_lightning.reporting.tables import DAGGER, SELECTION, SYNTHETIC

SCRIPTS = ("charts.js", "table.js", "sheet.js", "start.js")


def page(found: dict[str, Any], title: str) -> str:
    """The HTML text for what `collect` found. The same `found` gives the same text.

    Args:
        found: see `collect`.
        title: heading and title of the page.
    """
    room = files("fer_lightning.reporting.page")
    texts = {"selection": SELECTION, "synthetic": SYNTHETIC, "dagger": DAGGER}
    data = json.dumps(found | {"texts": texts}, separators=(",", ":"), allow_nan=False)
    parts = {
        "TITLE": html.escape(title),
        "STYLE": (room / "page.css").read_text("utf-8"),
        "SCRIPT": "\n".join((room / name).read_text("utf-8") for name in SCRIPTS),
        "DATA": data.replace("<", "\\u003c"),  # so that no text in it can end the script element
    }
    before, *rest = (room / "template.html").read_text("utf-8").split("{{")
    # Split first, fill then: what is filled in is never searched for places.
    return before + "".join(parts[name] + after for name, after in (piece.split("}}", 1) for piece in rest))
