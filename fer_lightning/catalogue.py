"""What `python -m fer_lightning.datasets` prints: the data sets, where each is looked for, what was found here."""

import argparse
import sys

from hydra.utils import instantiate

from fer_lightning.compose import configure, options
from fer_lightning.errors import FERError


def main(arguments: list[str] | None = None) -> int:
    """List all data sets; exit code 0, or 2 for a wrong name."""
    parser = argparse.ArgumentParser(
        prog="python -m fer_lightning.datasets",
        description="The supported data sets, where each is looked for (FER_RAW), and what was found there.",
    )
    parser.add_argument("names", nargs="*", help="only these (default: all)")
    parser.add_argument("--read", action="store_true", help="build the manifests too (seconds to minutes)")
    given = parser.parse_args(arguments)
    names = given.names or options("data")
    unknown = sorted(set(names) - set(options("data")))
    if unknown:
        print(f"no data set {unknown}; there are {options('data')}", file=sys.stderr)
        return 2
    for name in names:
        print(describe(name, given.read))
    return 0


def describe(name: str, read: bool) -> str:
    """Two lines on one data set: what it is, and what was found."""
    cfg = configure([f"data={name}"]).data
    data = instantiate(cfg)
    found = "not there"
    if data.root.is_dir():
        found = "there, SYNTHETIC" if data.synthetic else "there"
        if read:
            try:
                found += f", {len(data.build()):,} samples"
            except FERError as error:
                found += f", but: {error}"
    wanted = f"{len(data.classes)} classes: {', '.join(data.classes)}" if data.classes else ", ".join(data.targets)
    return f"{name:16s} {data.kind:6s} {wanted}\n{'':16s} {data.root}: {found}"


if __name__ == "__main__":
    sys.exit(main())
