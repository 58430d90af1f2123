"""What `train.py --help` prints, in lines that fit the terminal."""

import io
import re
import shutil
import textwrap
from collections.abc import Callable
from contextlib import redirect_stdout


def folded_help(main: Callable[[], object]) -> None:
    """Let Hydra write its help, and print it folded; SystemExit goes through."""
    written = io.StringIO()
    try:
        with redirect_stdout(written):
            main()
    finally:
        print(fold(written.getvalue(), shutil.get_terminal_size((100, 24)).columns), end="")


def fold(text: str, width: int) -> str:
    """Fold lists of options, ``group: a, b, c``; of the papers' rows, some hundred names, say where they are listed."""
    return "".join(_line(line, width) for line in text.splitlines(keepends=True))


def _line(line: str, width: int) -> str:
    group = re.match(r"([a-z][a-z_/]*): \w", line)
    if not group:
        return line
    if group[1] == "experiment":
        about = "rows of the papers' tables, <table>-<row>: python -m fer_lightning.reproduce --list"
        line = f"experiment: {line.count(',') + 1} {about}"
    return textwrap.fill(line, width, subsequent_indent="  ", break_on_hyphens=False) + "\n"
