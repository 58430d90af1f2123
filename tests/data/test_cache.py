"""The cache: made once, never half, never stale."""

import os
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from fer_lightning.data import cache as cache_module
from fer_lightning.data.cache import Source, prepare
from fer_lightning.data.pieces import PIECE
from fer_lightning.datasets import contract
from fer_lightning.errors import DatasetError, StorageError
from fer_lightning.preprocess.face import Face
from fer_lightning.preprocess.remark import Remarked

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
    return {sample: int(cache.array[row].max()) for row, sample in enumerate(cache.sample_ids)}


def entries(folder: Path) -> list[str]:
    """What a reader would find: everything else is hidden."""
    return sorted(item.name for item in folder.iterdir() if not item.name.startswith("."))


class Counting(Face):
    """Counts what it makes; pictures with a grey value below `dark` are remarked."""

    def __init__(self, dark: int = 0) -> None:
        super().__init__()
        self.dark, self._made, self._seconds = dark, 0, {"counting": 0.0}

    def make(self, root, rows):
        for array in super().make(root, rows):
            self._made += 1
            self._seconds["counting"] += 1e-9
            yield Remarked(array, "too dark") if array.max() < self.dark else array


EXPECTED = {f"toy/{number}": number for number in range(NUMBER)}


@pytest.mark.parametrize("workers", [1, 2])
def test_every_sample_finds_its_own_array(raw, tmp_path, workers):
    root, manifest = raw
    told = []
    cache = prepare(manifest, Face(), root, tmp_path / "cache", "toy", workers, lambda *t: told.append(t))
    assert values(cache) == EXPECTED
    assert cache.array.dtype == np.uint8
    assert told[-1] == (NUMBER, NUMBER)
    assert [done for done, _ in told] in ([0, 64, 128, 133], [0, 64, 69, 133], [0, 5, 69, 133])


def test_another_recipe_or_a_changed_raw_file_makes_another_entry(raw, tmp_path):
    root, manifest = raw
    first = prepare(manifest, Face(), root, tmp_path / "cache", "toy")
    assert prepare(manifest, Face(), root, tmp_path / "cache", "toy").folder == first.folder
    assert prepare(manifest, Face(size=40), root, tmp_path / "cache", "toy").folder != first.folder
    cv2.imwrite(str(root / "7.png"), np.full((48, 48), 200, np.uint8))
    later = os.stat(root / "7.png").st_mtime_ns + 1_000_000
    os.utime(root / "7.png", ns=(later, later))
    changed = prepare(manifest, Face(), root, tmp_path / "cache", "toy")
    assert changed.folder != first.folder
    assert values(changed)["toy/7"] == 200


class Clip(Face):
    """The first frame of a clip's folder."""

    def make(self, root, rows):
        paths = [f"{path}/1.bmp" for path in rows["path"]]
        return super().make(root, rows.assign(path=paths))


@pytest.fixture
def clips(tmp_path) -> tuple[Path, pd.DataFrame]:
    """Two clips of two frames; the first one holds two samples. The grey value is the number of the clip."""
    for clip in (1, 2):
        (tmp_path / f"raw/{clip}").mkdir(parents=True)
        for frame in (1, 2):
            cv2.imwrite(str(tmp_path / f"raw/{clip}/{frame}.bmp"), np.full((48, 48), clip, np.uint8))
    rows = {"sample_id": ["toy/1a", "toy/1b", "toy/2"], "dataset": "toy", "path": ["1", "1", "2"], "label": "a"}
    return tmp_path / "raw", contract.fill(pd.DataFrame(rows))


def test_a_frame_that_is_overwritten_or_renamed_makes_another_entry(clips, tmp_path):
    root, manifest = clips
    first = prepare(manifest, Clip(), root, tmp_path / "cache", "toy")
    assert values(first) == {"toy/1a": 1, "toy/1b": 1, "toy/2": 2}
    before = os.stat(root / "2").st_mtime_ns
    frame = root / "2/1.bmp"
    time, size = os.stat(frame).st_mtime_ns, os.stat(frame).st_size
    cv2.imwrite(str(frame), np.full((48, 48), 200, np.uint8))
    os.utime(frame, ns=(time + 1_000_000, time + 1_000_000))
    assert (os.stat(root / "2").st_mtime_ns, os.stat(frame).st_size) == (before, size), "only a time tells"
    second = prepare(manifest, Clip(), root, tmp_path / "cache", "toy")
    assert values(second)["toy/2"] == 200
    (root / "1/2.bmp").rename(root / "1/3.bmp")
    os.symlink("nowhere", root / "1/4.bmp")
    third = prepare(manifest, Clip(), root, tmp_path / "cache", "toy")
    assert len({first.folder, second.folder, third.folder}) == 3
    assert prepare(manifest, Clip(), root, tmp_path / "cache", "toy").folder == third.folder


def test_a_folder_is_listed_once_and_a_file_is_known_by_size_and_time(clips, monkeypatch):
    root, manifest = clips
    listed, scan = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: listed.append(Path(folder).name) or scan(folder))
    states = Source(manifest, Clip(), root).states
    assert sorted(listed) == ["1", "2"]
    assert states[0].tolist() == states[1].tolist() != states[2].tolist()
    listed.clear()
    manifest["path"] = [f"{path}/1.bmp" for path in manifest["path"]]
    found = [os.stat(root / path) for path in manifest["path"]]
    states = Source(manifest, Face(), root).states
    assert states.tolist() == [[file.st_size, file.st_mtime_ns] for file in found], "keys of caches that are there"
    assert not listed


def test_a_broken_picture_leaves_no_entry_and_is_named(raw, tmp_path):
    root, manifest = raw
    (root / "9.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    with pytest.raises(DatasetError, match=r"9\.png"):
        prepare(manifest, Face(), root, tmp_path / "cache", "toy", workers=2)
    assert entries(tmp_path / "cache") == []


def test_a_build_that_stopped_goes_on_and_makes_only_what_is_missing(raw, tmp_path):
    root, manifest = raw
    broken = manifest["path"].iloc[PIECE]  # the first of the second piece
    whole = (root / broken).read_bytes()
    (root / broken).write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    with pytest.raises(DatasetError, match=broken):
        prepare(manifest, Counting(), root, tmp_path / "cache", "toy")
    (root / broken).write_bytes(whole)
    recipe, told = Counting(), []
    journal = next((tmp_path / "cache").glob(".*.part")) / "journal.jsonl"
    journal.write_text(journal.read_text() + '{"piece": 1, "sta')  # as a killed process leaves it
    cache = prepare(manifest, recipe, root, tmp_path / "cache", "toy", progress=lambda *t: told.append(t))
    assert recipe._made == NUMBER - PIECE
    assert told[0] == (PIECE, NUMBER)
    assert values(cache) == EXPECTED
    assert entries(tmp_path / "cache") == [cache.folder.name]


def test_what_a_recipe_remarks_is_kept_and_counted(raw, tmp_path):
    root, manifest = raw
    for _ in range(2):  # made, then opened
        cache = prepare(manifest, Counting(dark=3), root, tmp_path / "cache", "toy", workers=1)
        assert cache.counts() == {"too dark": 3}
        assert cache.remarks.to_dict() == {f"toy/{number}": "too dark" for number in range(3)}
        assert values(cache) == EXPECTED
        assert 0 <= cache.seconds["counting"] <= cache.seconds["total"]


def test_samples_are_found_in_any_order_and_a_lost_one_is_named(raw, tmp_path):
    root, manifest = raw
    cache = prepare(manifest, Face(), root, tmp_path / "cache", "toy")
    assert cache.array[cache.numbers(["toy/9", "toy/3"])].max(axis=(1, 2, 3)).tolist() == [9, 3]
    with pytest.raises(DatasetError, match="toy/x"):
        cache.numbers(["toy/9", "toy/x"])


def test_a_cache_that_cannot_be_written_says_where(raw, tmp_path):
    root, manifest = raw
    (tmp_path / "cache").write_text("a file stands where the folder should be")
    with pytest.raises(StorageError, match="the cache could not be written"):
        prepare(manifest, Face(), root, tmp_path / "cache", "toy")


def half(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def two_rows_swapped(file: Path) -> None:
    head, first, second, *rest = file.read_text().splitlines(keepends=True)
    file.write_text("".join([head, second, first, *rest]))


DAMAGE = [
    ("array.npy", half),
    ("array.npy", lambda file: file.write_bytes(bytes(range(256)) * 99)),
    ("array.npy", lambda file: file.write_bytes(b"")),
    ("array.npy", lambda file: file.write_bytes(b"PK\x03\x04 and no archive")),
    ("array.npy", lambda file: file.write_bytes(file.read_bytes().replace(b"(133, ", b"(133) ", 1))),
    ("array.npy", lambda file: np.save(file, np.zeros((NUMBER, 1, 48, 47), np.uint8))),
    ("array.npy", lambda file: np.save(file, np.zeros((NUMBER, 1, 48, 48), np.int8))),
    ("array.npy", Path.unlink),
    ("index.csv", half),
    ("index.csv", two_rows_swapped),
    ("index.csv", lambda file: file.write_bytes(b"\xff\xfe\x00")),
    ("index.csv", lambda file: file.write_text("sample_id\n")),
    ("recipe.json", lambda file: file.write_text('{"seconds": ')),
    ("recipe.json", lambda file: file.write_text("[]")),
]


@pytest.mark.parametrize(("name", "damage"), DAMAGE, ids=[f"{name}-{n}" for n, (name, _) in enumerate(DAMAGE)])
def test_a_damaged_entry_is_named_and_made_again(raw, tmp_path, capsys, name, damage):
    root, manifest = raw
    before = prepare(manifest, Face(), root, tmp_path / "cache", "toy")
    assert capsys.readouterr().err == ""
    damage(before.folder / name)
    after = prepare(manifest, Face(), root, tmp_path / "cache", "toy")
    [said] = capsys.readouterr().err.splitlines()
    assert str(before.folder / name) in said
    assert "damaged" in said
    assert "prepared again" in said
    assert values(after) == EXPECTED
    assert after.folder == before.folder
    left = [item.name for item in (tmp_path / "cache").iterdir() if not item.name.endswith(".lock")]
    assert left == [after.folder.name]
    made = os.stat(after.folder / "array.npy").st_mtime_ns
    assert values(prepare(manifest, Face(), root, tmp_path / "cache", "toy")) == EXPECTED
    assert os.stat(after.folder / "array.npy").st_mtime_ns == made, "whole now, and made once more"
    assert capsys.readouterr().err == ""


def test_what_another_process_has_mended_meanwhile_stays(raw, tmp_path, monkeypatch):
    root, manifest = raw
    folder = prepare(manifest, Counting(), root, tmp_path / "cache", "toy").folder
    whole = (folder / "array.npy").read_bytes()
    half(folder / "array.npy")
    acquire = cache_module.FileLock.acquire

    def mended_while_this_one_waits(self, *arguments, **options):
        (folder / "array.npy").write_bytes(whole)
        return acquire(self, *arguments, **options)

    monkeypatch.setattr(cache_module.FileLock, "acquire", mended_while_this_one_waits)
    recipe = Counting()
    assert values(prepare(manifest, recipe, root, tmp_path / "cache", "toy")) == EXPECTED
    assert recipe._made == 0


def test_an_entry_that_may_not_be_read_is_no_damage(raw, tmp_path, monkeypatch, capsys):
    root, manifest = raw
    folder = prepare(manifest, Face(), root, tmp_path / "cache", "toy").folder

    def refused(*_, **__):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(np.lib.format, "open_memmap", refused)
        with pytest.raises(StorageError, match=rf"{folder / 'array.npy'} cannot be read \(Permission denied\)"):
            prepare(manifest, Face(), root, tmp_path / "cache", "toy")
    assert values(prepare(manifest, Face(), root, tmp_path / "cache", "toy")) == EXPECTED
    assert "prepared again" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "made"),
    [
        ("array.npy", b"\x93NUMPY", NUMBER),
        ("journal.jsonl", b'{"piece": 0, "state": "\xff"}\n{"piece": 99}\n[]\n{nothing}\n', NUMBER),
    ],
)
def test_a_build_that_stopped_and_was_damaged_begins_anew(raw, tmp_path, name, content, made):
    root, manifest = raw
    broken = manifest["path"].iloc[PIECE]
    whole = (root / broken).read_bytes()
    (root / broken).write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    with pytest.raises(DatasetError, match=broken):
        prepare(manifest, Counting(), root, tmp_path / "cache", "toy")
    (root / broken).write_bytes(whole)
    (next((tmp_path / "cache").glob(".*.part")) / name).write_bytes(content)
    recipe = Counting()
    cache = prepare(manifest, recipe, root, tmp_path / "cache", "toy")
    assert recipe._made == made
    assert values(cache) == EXPECTED


def _open(arguments) -> dict[str, int]:
    root, manifest, folder = arguments
    return values(prepare(manifest, Face(), root, folder, "toy"))


@pytest.mark.slow
def test_two_processes_that_make_the_same_entry_do_not_disturb_each_other(raw, tmp_path):
    root, manifest = raw
    with get_context("spawn").Pool(2) as pool:
        found = pool.map(_open, [(root, manifest, tmp_path / "cache")] * 2, chunksize=1)
    assert found == [EXPECTED, EXPECTED]
    assert len(entries(tmp_path / "cache")) == 1
