"""The cache: made once, never half, never stale."""

import os
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from fer_lightning.data.cache import PIECE, prepare
from fer_lightning.datasets import contract
from fer_lightning.errors import DatasetError, StorageError
from fer_lightning.preprocess.face_gray import FaceGray

NUMBER = 2 * PIECE + 5  # three pieces, the last one short


@pytest.fixture
def raw(tmp_path) -> tuple[Path, pd.DataFrame]:
    """A raw folder in which the picture's grey value is its number, and its manifest, in another order."""
    root = tmp_path / "raw"
    root.mkdir()
    for number in range(NUMBER):
        cv2.imwrite(str(root / f"{number}.png"), np.full((48, 48), number, np.uint8))
    order = np.random.default_rng(0).permutation(NUMBER)
    rows = pd.DataFrame(
        {"sample_id": [f"toy/{n}" for n in order], "dataset": "toy", "path": [f"{n}.png" for n in order], "label": "a"}
    )
    return root, contract.fill(rows)


def values(cache) -> dict[str, int]:
    return {sample: int(cache.array[row].max()) for sample, row in cache.rows.items()}


EXPECTED = {f"toy/{number}": number for number in range(NUMBER)}


@pytest.mark.parametrize("workers", [1, 2])
def test_every_sample_finds_its_own_array(raw, tmp_path, workers):
    root, manifest = raw
    told = []
    cache = prepare(manifest, FaceGray(), root, tmp_path / "cache", "toy", workers, lambda *t: told.append(t))
    assert values(cache) == EXPECTED
    assert cache.array.dtype == np.uint8
    assert told[-1] == (NUMBER, NUMBER)
    assert len(told) == 3


def test_another_recipe_or_a_changed_raw_file_makes_another_entry(raw, tmp_path):
    root, manifest = raw
    first = prepare(manifest, FaceGray(), root, tmp_path / "cache", "toy")
    assert prepare(manifest, FaceGray(), root, tmp_path / "cache", "toy").folder == first.folder
    assert prepare(manifest, FaceGray(size=40), root, tmp_path / "cache", "toy").folder != first.folder
    cv2.imwrite(str(root / "7.png"), np.full((48, 48), 200, np.uint8))
    later = os.stat(root / "7.png").st_mtime_ns + 1_000_000
    os.utime(root / "7.png", ns=(later, later))
    changed = prepare(manifest, FaceGray(), root, tmp_path / "cache", "toy")
    assert changed.folder != first.folder
    assert values(changed)["toy/7"] == 200


def test_a_broken_picture_leaves_no_entry_and_is_named(raw, tmp_path):
    root, manifest = raw
    (root / "9.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    with pytest.raises(DatasetError, match=r"9\.png"):
        prepare(manifest, FaceGray(), root, tmp_path / "cache", "toy", workers=2)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_cache_that_cannot_be_written_says_where(raw, tmp_path):
    root, manifest = raw
    (tmp_path / "cache").write_text("a file stands where the folder should be")
    with pytest.raises(StorageError, match="the cache could not be written"):
        prepare(manifest, FaceGray(), root, tmp_path / "cache", "toy")


def _open(arguments) -> dict[str, int]:
    root, manifest, folder = arguments
    return values(prepare(manifest, FaceGray(), root, folder, "toy"))


@pytest.mark.slow
def test_two_processes_that_make_the_same_entry_do_not_disturb_each_other(raw, tmp_path):
    root, manifest = raw
    with get_context("spawn").Pool(2) as pool:
        found = pool.map(_open, [(root, manifest, tmp_path / "cache")] * 2, chunksize=1)
    assert found == [EXPECTED, EXPECTED]
    assert len(list((tmp_path / "cache").iterdir())) == 1
