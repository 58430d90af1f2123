"""What the property tests of the readers share: how often they try, what is tried, and what counts as an answer.

The rule is the same for each reader: whatever stands in the files, it gives the right answer or refuses with a message
of our own that names the file (and the line, where there are lines). `FER_EXAMPLES=2000` tries other cases at random in
every run; without it each run tries the same few.
"""

import os
import re
import tempfile
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import Phase, settings
from hypothesis import strategies as st

from fer_lightning.errors import FERError

#: Numbers and texts that a damaged file, a spreadsheet program or another language puts into a field.
NASTY = (
    *("", " ", "0", "00", "-1", "+1", "1.0", "01", "1e0", "1e400", "nan", "NaN", "inf", "-inf", "1_0", "0_1", "0x1"),
    *("9" * 20, "9" * 5000, "-" + "9" * 400, "\u0663", "\uff13", "\u00b2", "1 2", "1\u00a0", "\u200b1", "\ufeff1"),
    *("\x00", "1\x00", "\x1c1", "1\x0c", "1\x85", "\u20281", '"', '"1', "1'", "/", "../1", "é", "\u202e1"),
)
SPLIT_LINES = re.compile("\r\n|\r|\n")


def examples(number: int) -> settings:
    """The settings of a test that tries `number` cases."""
    wanted = os.environ.get("FER_EXAMPLES")
    return settings(
        max_examples=int(wanted or number),
        derandomize=wanted is None,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
    )


@contextmanager
def folder(files: Mapping[str, bytes]) -> Iterator[Path]:
    """A new folder that holds these files."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for path, data in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(data)
        yield root


def answer(read: Callable[[], Any], *names: str) -> Any:
    """What `read` returns; None where it refuses, with a message that holds all of `names`. Other exceptions pass."""
    try:
        found = read()
    except FERError as error:
        message = str(error)
    else:
        assert found is not None
        return found
    absent = [name for name in names if name not in message]
    assert not absent, f"the message does not name {absent}: {message}"
    return None


def nasty(*more: str) -> st.SearchStrategy[str]:
    """A field as it should not be. No line ends in it, and no commas."""
    letters = st.characters(codec="utf-8", exclude_characters="\r\n,")
    return st.sampled_from((*NASTY, *more)) | st.text(letters, max_size=4)


def whole_number(text: str) -> int | None:
    """The whole number that somebody who wrote `text` can only have meant; None where there is no such number."""
    text = unicodedata.normalize("NFKC", text).strip()
    match = re.fullmatch(r"\+?(\d{1,4000})(\.0*)?(e[+-]?0+)?", text, flags=re.IGNORECASE)
    return int(match.group(1)) if match else None


class Dialect(NamedTuple):
    """How a program writes the same table."""

    mark: bool
    newline: str
    closed: bool
    blank: str | None
    pad: str
    quoted: bool

    def encode(self, lines: Sequence[str]) -> bytes:
        """The bytes of these lines."""
        lines = [line for line in lines for line in ((line, self.blank) if self.blank is not None else (line,))]
        text = self.newline.join(lines) + (self.newline if self.closed else "")
        return ("\ufeff" if self.mark else "").encode() + text.encode()

    def fields(self, fields: Sequence[str], sign: str = ",") -> str:
        """One line of a csv."""
        return sign.join(self._field(field, sign) for field in fields)

    def _field(self, field: str, sign: str) -> str:
        if self.quoted or sign in field or '"' in field:
            return self.pad + '"' + field.replace('"', '""') + '"'
        return self.pad + field + self.pad


def dialects() -> st.SearchStrategy[Dialect]:
    """Byte-order mark, line ends, last line end, blank lines, padding and quotation marks."""
    newlines, blanks = st.sampled_from(["\n", "\r\n", "\r"]), st.sampled_from([None, "", " ", "\t"])
    return st.builds(Dialect, st.booleans(), newlines, st.booleans(), blanks, st.sampled_from(["", " "]), st.booleans())


@st.composite
def moved(draw: st.DrawFn, rows: Sequence[Any]) -> list[Any]:
    """Some of the rows, in some order, some of them twice."""
    return draw(st.lists(st.sampled_from(list(rows)), max_size=len(rows) + 2))


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """The same file after an accident: cut, overwritten, in another encoding, with other separators."""
    place = draw(st.integers(0, len(data)))
    kind = draw(st.sampled_from(["cut", "head", "put", "drop", "one", "encode", "replace"]))
    if kind in ("cut", "head"):
        return data[:place] if kind == "cut" else data[place:]
    if kind == "put":
        junk = draw(st.sampled_from([b"\0", b'"', b"\n", b"\r", b",", b" ", b"\xe9", b"\xef\xbb\xbf", b"\x0c", b"9"]))
        return data[:place] + junk + data[place:]
    if kind == "drop":
        return data[:place] + data[place + draw(st.integers(1, 12)) :]
    if kind == "one":
        return data[:place] + draw(st.binary(min_size=1, max_size=1)) + data[place + 1 :]
    if kind == "encode":
        codec = draw(st.sampled_from(["utf-16", "utf-16-le", "utf-32", "latin-1", "utf-7"]))
        return data.decode().encode(codec, errors="replace")
    old, new = draw(st.sampled_from([(b",", b";"), (b",", b"\t"), (b" ", b"\t"), (b"\n", b""), (b"\n", b"\n\n")]))
    return data.replace(old, new)


def lines_of(data: bytes) -> list[str] | None:
    """The lines of a text in UTF-8 without blank ones; None where it is no such text."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else [line for line in SPLIT_LINES.split(text) if line.strip()]
