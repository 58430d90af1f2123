"""FER2013 and other raw data, packed small for a machine that has no network and takes little.

    python benchmarks/carry.py pack <folder> [--raw $FER_RAW] [--with megc2019 ...]
    python benchmarks/carry.py unpack <folder> <raw folder>

The csv of FER2013 is 301 MB, 78 MB as xz; its pictures as lossless PNG mosaics are 58 MB, and 55 MB when each of the
1,853 pictures that come again is kept once. `unpack` writes the csv again and compares its SHA-256 with that of the
csv which was packed, so what is trained on there is what lies here, byte for byte. Folders named by --with are copied.
"""

import argparse
import hashlib
import json
import lzma
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, UnidentifiedImageError

from fer_lightning.datasets.fer2013 import CSV_NAMES, SIZE
from fer_lightning.errors import DatasetError, FERError
from fer_lightning.functional.face_csv import faces

#: Pictures along a side of a mosaic: small enough to be read anywhere, large enough that the file's head costs nothing.
SIDE = 64
HEADER = "emotion,pixels,Usage\n"


def pack(csv: Path, folder: Path) -> None:
    """Write ``mosaic-000.png`` ..., ``faces.csv.xz`` (picture, emotion, Usage of each row) and ``about.json``.

    Args:
        csv: ``fer2013.csv``, also ``.xz``, ``.gz`` or ``.zip``, as Kaggle gave it out.
        folder: where to; made if need be.

    Raises:
        DatasetError: a row that is no picture of 48x48 pixels.
    """
    folder.mkdir(parents=True, exist_ok=True)
    digest, number_of, rows, pictures = hashlib.sha256(HEADER.encode()), {}, [], []
    for face in faces(csv, csv.name):
        digest.update(line(face.emotion, face.pixels, face.usage).encode())
        if face.pixels not in number_of:
            number_of[face.pixels] = len(pictures)
            pictures.append(_picture(face.pixels, f"{csv}, line {face.line}"))
        rows.append((number_of[face.pixels], face.emotion, face.usage))
    for start in range(0, len(pictures), SIDE * SIDE):
        name = folder / f"mosaic-{start // (SIDE * SIDE):03}.png"
        Image.fromarray(_mosaic(pictures[start : start + SIDE * SIDE])).save(name, optimize=True)
    table = pd.DataFrame(rows, columns=["picture", "emotion", "Usage"])
    (folder / "faces.csv.xz").write_bytes(lzma.compress(table.to_csv(index=False).encode()))
    about = {"pictures": len(pictures), "rows": len(rows), "csv_sha256": digest.hexdigest()}
    (folder / "about.json").write_text(json.dumps(about) + "\n")


def unpack(folder: Path, csv: Path) -> None:
    """Write the csv that was packed.

    Args:
        folder: what `pack` wrote.
        csv: file to write.

    Raises:
        DatasetError: a file is missing or damaged, or the csv is not the one that was packed.
    """
    try:
        about = json.loads((folder / "about.json").read_text())
        table = pd.read_csv(folder / "faces.csv.xz", dtype=str)
        mosaics = [np.asarray(Image.open(file)) for file in sorted(folder.glob("mosaic-*.png"))]
    except (OSError, ValueError, lzma.LZMAError, UnidentifiedImageError) as error:
        raise DatasetError(f"{folder} is not, or not wholly, what `pack` wrote ({error}): pack it again") from None
    texts = [" ".join(map(str, picture.ravel())) for mosaic in mosaics for picture in _pieces(mosaic)]
    if len(texts) < about["pictures"]:
        raise DatasetError(f"{folder}: its mosaics hold {len(texts)} pictures, {about['pictures']} were packed")
    digest = hashlib.sha256(HEADER.encode())
    csv.parent.mkdir(parents=True, exist_ok=True)
    part = csv.with_name(f"{csv.name}.part")
    with part.open("w", newline="") as file:
        file.write(HEADER)
        for picture, emotion, usage in table.itertuples(index=False):
            text = line(emotion, texts[int(picture)], usage)
            digest.update(text.encode())
            file.write(text)
    if digest.hexdigest() != about["csv_sha256"]:
        part.unlink()
        raise DatasetError(f"{folder}: the csv made from it is not the one that was packed: pack it again")
    part.replace(csv)


def line(emotion: str, pixels: str, usage: str) -> str:
    """A row of the csv as Kaggle wrote it."""
    return f"{emotion},{pixels},{usage}\n"


def _picture(pixels: str, where: str) -> np.ndarray:
    values = pixels.split()
    if len(values) != SIZE * SIZE or not all(value.isdecimal() and int(value) < 256 for value in values):
        raise DatasetError(f"{where}: {len(values)} values, {SIZE * SIZE} of 0 to 255 are a picture")
    return np.array(values, dtype=np.uint8).reshape(SIZE, SIZE)


def _mosaic(pictures: list[np.ndarray]) -> np.ndarray:
    """(n, 48, 48) -> (3072, 3072), row by row; black where there are none any more."""
    whole = np.zeros((SIDE * SIDE, SIZE, SIZE), np.uint8)
    whole[: len(pictures)] = pictures
    return whole.reshape(SIDE, SIDE, SIZE, SIZE).swapaxes(1, 2).reshape(SIDE * SIZE, SIDE * SIZE)


def _pieces(mosaic: np.ndarray) -> np.ndarray:
    return mosaic.reshape(SIDE, SIZE, SIDE, SIZE).swapaxes(1, 2).reshape(-1, SIZE, SIZE)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python benchmarks/carry.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack", help="raw data -> a small folder")
    packing.add_argument("folder", type=Path)
    packing.add_argument("--raw", type=Path, required=True, help="raw folder, with fer2013/fer2013.csv[.xz|.gz|.zip]")
    packing.add_argument("--with", nargs="*", default=[], dest="others", metavar="NAME", help="copy <raw>/NAME too")
    unpacking = commands.add_parser("unpack", help="the small folder -> raw data")
    unpacking.add_argument("folder", type=Path)
    unpacking.add_argument("raw", type=Path)
    chosen = parser.parse_args(arguments)
    try:
        _pack(chosen) if chosen.command == "pack" else _unpack(chosen)
    except (FERError, OSError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    return 0


def _pack(chosen: argparse.Namespace) -> None:
    files = [chosen.raw / "fer2013" / name for name in CSV_NAMES]
    csv = next((file for file in files if file.is_file()), None)
    if csv is None:
        raise DatasetError(f"{chosen.raw}/fer2013 has no csv; one of these is packed: {', '.join(CSV_NAMES)}")
    missing = [name for name in chosen.others if not (chosen.raw / name).is_dir()]
    if missing:
        raise DatasetError(f"{chosen.raw} has no folder {', '.join(missing)}, which --with asks for")
    print(f"packing {csv}: a minute or two", flush=True)
    pack(csv, chosen.folder / "fer2013")
    for name in chosen.others:
        shutil.copytree(chosen.raw / name, chosen.folder / name, dirs_exist_ok=True, copy_function=shutil.copyfile)
    size = sum(file.stat().st_size for file in chosen.folder.rglob("*") if file.is_file())
    print(f"{chosen.folder}: {size / 1e6:.1f} MB")


def _unpack(chosen: argparse.Namespace) -> None:
    print(f"unpacking {chosen.folder}: about a minute", flush=True)
    unpack(chosen.folder / "fer2013", chosen.raw / "fer2013" / "fer2013.csv")
    for folder in sorted(chosen.folder.iterdir()):
        if folder.is_dir() and folder.name != "fer2013":
            shutil.copytree(folder, chosen.raw / folder.name, dirs_exist_ok=True)
    print(f"FER_RAW={chosen.raw}: {', '.join(sorted(path.name for path in chosen.raw.iterdir()))}")


if __name__ == "__main__":
    sys.exit(main())
