"""`python -m fer_lightning.inspect data=<d>`: a contact sheet, so that a person sees what the network will see.

Some samples of every class, as they come out of the cache, flow in colours; valence and arousal where there are
any. Writes <paths.runs>/inspect/<data>.png (one row a class) and .html (with sample ids). Exit code 0, or 2 with a
message.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fer_lightning.errors import ConfigError, FERError
from fer_lightning.files import write_atomically

if TYPE_CHECKING:
    from fer_lightning.data.datamodule import FERDataModule


def main(arguments: list[str] | None = None) -> int:
    """Write the sheet of one data set; say where it is."""
    parser = argparse.ArgumentParser(
        prog="python -m fer_lightning.inspect",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("overrides", nargs="+", metavar="data=<d> key=value", help="as for train.py")
    parser.add_argument("--samples", type=int, default=12, help="samples of each class (default: 12)")
    parser.add_argument("--seed", type=int, default=0, help="which samples (default: 0)")
    given = parser.parse_args(arguments)
    try:
        if given.samples < 1:
            raise ConfigError(f"--samples {given.samples}: expected 1 or more samples of each class")
        if given.seed < 0:
            raise ConfigError(f"--seed {given.seed}: expected 0 or more")
        # Lightning takes seconds to import; --help and wrong options need it not
        from hydra.utils import instantiate

        from fer_lightning.compose import configure
        from fer_lightning.progress import CacheProgress

        cfg = configure(given.overrides)
        data = instantiate(cfg.data)
        if cfg.get("tiny") and not data.synthetic:
            data.tiny(data.root)
        data.build()
        progress = CacheProgress(data.name)
        try:
            data.prepare(Path(cfg.paths.cache), 2, progress)
        finally:
            progress.close()
        files = write_sheets(data, Path(cfg.paths.runs) / "inspect", given.samples, given.seed)
    except FERError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    print("\n".join(map(str, files)))
    return 0


def write_sheets(data: "FERDataModule", folder: Path, samples: int, seed: int) -> list[Path]:
    """Write the PNG and the HTML page of a prepared data set; returns the two files."""
    from fer_lightning.reporting import contact

    rng = np.random.default_rng(seed)
    parts = {name: data.manifest[data.manifest["label"] == name] for name in data.classes} or _quarters(data.manifest)
    classes = {name: _thumbs(data, rows, samples, rng) for name, rows in parts.items()}
    notes = [
        f"{data.root}: {len(data.manifest):,} samples, channels {', '.join(data.channels)}, seed {seed}",
        *(f"left out: {number} ({reason})" for reason, number in data.dropped.items()),
        *(f"{number} sample(s): {remark}" for remark, number in data.remarks.items()),
    ]
    if data.synthetic:
        notes.append("SYNTHETIC: drawn by this project, not recorded by anybody")
    titled = {f"{name} ({len(parts[name]):,})": thumbs for name, thumbs in classes.items()}
    picture, page = folder / f"{data.name}.png", folder / f"{data.name}.html"
    write_atomically(picture, contact.png(contact.sheet([[thumb for *_, thumb in row] for row in classes.values()])))
    write_atomically(page, contact.page(f"{data.name}: what the network sees", notes, titled))
    return [picture, page]


def _quarters(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Samples without classes by the quarter of the valence-arousal plane that they lie in."""
    pleasant, excited = rows["valence"] >= 0, rows["arousal"] >= 0
    quarters = {
        "valence >= 0, arousal >= 0": pleasant & excited,
        "valence < 0, arousal >= 0": ~pleasant & excited,
        "valence < 0, arousal < 0": ~pleasant & ~excited,
        "valence >= 0, arousal < 0": pleasant & ~excited,
    }
    return {name: rows[there] for name, there in quarters.items() if there.any()}


def _thumbs(
    data: "FERDataModule", rows: pd.DataFrame, samples: int, rng: np.random.Generator
) -> list[tuple[str, str, np.ndarray]]:
    from fer_lightning.reporting import contact

    chosen = rows.iloc[np.sort(rng.permutation(len(rows))[:samples])]
    arrays = data.cache.array[data.cache.numbers(chosen["sample_id"])]
    shown = getattr(data.recipe, "picture", None) or (lambda array: contact.picture(array, data.channels))
    return [
        (row["sample_id"], _caption(row, data.cache.remarks.get(row["sample_id"], "")), contact.enlarge(shown(array)))
        for array, (_, row) in zip(arrays, chosen.iterrows(), strict=True)
    ]


def _caption(row: pd.Series, remark: str) -> str:
    parts = [row["split"], row["subject"]]
    if pd.notna(row["apex"]):
        parts.append(f"frames {row['onset']}-{row['apex']}-{row['offset']} ({row['apex_source']})")
    parts += [f"{axis} {row[axis]:+.2f}" for axis in ("valence", "arousal") if axis in row and pd.notna(row[axis])]
    return ", ".join(part for part in [*parts, remark] if part)


if __name__ == "__main__":
    sys.exit(main())
