"""A manifest on disk: nothing lost, nothing copied, and never older than the raw folder it was built from."""

import importlib.util
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from textwrap import dedent

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from fer_lightning.data import manifest as store
from fer_lightning.data.manifest import cached_manifest, lent, load, save
from fer_lightning.datasets import affwild2, contract, megc2019_flow
from fer_lightning.errors import DatasetError, StorageError


def frames(number: int) -> pd.DataFrame:
    """A manifest of one long video."""
    rows = pd.DataFrame({"sample_id": [f"toy/1-30-1280x720/{frame:05d}" for frame in range(number)]})
    rows["path"] = "cropped_aligned" + rows["sample_id"].str.removeprefix("toy") + ".jpg"
    return contract.fill(rows.assign(dataset="toy", group="toy/1-30-1280x720", label="anger", split="train"))


# ---- the file


def test_columns_types_missing_values_and_attrs_come_back(tmp_path):
    rows = contract.check(frames(4), where="toy").assign(
        onset=pd.array([1, None, 3, None], dtype="Int64"),
        valence=[0.25, np.nan, -1, 1],
        person=[1, 2, 1, 2],
        indoors=[True, False, True, True],
        track=pd.Series(["left", None, "", "é,\"'\n"], dtype="str"),
        quality=pd.Categorical(["good", "bad", "good", "bad"]),
    )
    rows.attrs = {"dropped": {"frames without an image": ["toy/a", "toy/é"]}, "release_counts": {"samples": 6}}
    save(rows, tmp_path / "new" / "m.arrow")
    found = load(tmp_path / "new" / "m.arrow")
    pd.testing.assert_frame_equal(found, rows)
    assert found.attrs == rows.attrs
    assert found["subject"].eq("").all()
    assert [item.name for item in (tmp_path / "new").iterdir()] == ["m.arrow"]


def test_text_in_python_objects_comes_back_as_text_and_anything_else_is_refused(tmp_path):
    rows = frames(2).assign(label=pd.Series(["anger", "fear"], dtype=object))
    save(rows, tmp_path / "m.arrow")
    pd.testing.assert_frame_equal(load(tmp_path / "m.arrow"), rows.astype({"label": "str"}))
    with pytest.raises(DatasetError, match=r"column 'unit' holds mixed-integer values"):
        save(rows.assign(unit=pd.Series([4, "4+L10"], dtype=object)), tmp_path / "m.arrow")


def test_a_real_manifest_comes_back(fer_raw, tmp_path):
    rows = contract.check(megc2019_flow.build_manifest(fer_raw / "megc2019"), where="megc2019")
    assert len(rows) == 442
    save(rows, tmp_path / "m.arrow")
    pd.testing.assert_frame_equal(load(tmp_path / "m.arrow"), rows)


#: A process that lends a manifest and is killed while it does.
KILLED = """
import os, signal, sys
from pathlib import Path
import pandas as pd
from fer_lightning.data.manifest import lent
with lent(pd.DataFrame({"sample_id": ["a"]}), Path(sys.argv[1])):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_lent_manifest_is_there_for_as_long_as_it_is_lent(tmp_path):
    with lent(frames(3), tmp_path) as one, lent(frames(4), tmp_path) as other:
        assert [len(load(file)) for file in (one, other)] == [3, 4]
        other.unlink()  # as somebody who tidies up does
    with pytest.raises(ZeroDivisionError), lent(frames(3), tmp_path):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_lent_is_removed_by_the_next_one(tmp_path):
    killed = subprocess.run([sys.executable, "-c", KILLED, tmp_path], check=False)
    assert killed.returncode == -signal.SIGKILL
    [lock] = tmp_path.glob(".manifest-*.lock")
    (tmp_path / f".{lock.stem}.arrow.0123abcd").touch()  # as one that is killed while it writes leaves it
    assert len(list(tmp_path.glob(".*manifest-*"))) == 3
    with lent(frames(3), tmp_path) as file:
        assert sorted(tmp_path.iterdir()) == [file, file.with_suffix(".lock")]
    assert list(tmp_path.iterdir()) == []


def test_text_is_mapped_not_read(tmp_path):
    file, part = tmp_path / "m.arrow", frames(5_000)
    rows = pd.concat([part] * 10, ignore_index=True).astype({"path": object})  # text in ten pieces, and in objects
    save(rows, file)
    assert file.stat().st_size > 6_000_000
    before = pa.total_allocated_bytes()
    found = load(file)
    assert pa.total_allocated_bytes() - before < 10_000
    assert {column.num_chunks for column in pa.table(found).columns} == {1}
    assert found["path"].iloc[-1] == "cropped_aligned/1-30-1280x720/04999.jpg"


def test_a_loaded_manifest_can_be_changed_and_the_file_stays(tmp_path):
    file = tmp_path / "m.arrow"
    save(frames(3).assign(valence=0.5), file)
    found, written = load(file), file.read_bytes()
    found.loc[1, ["apex", "valence", "label"]] = 7, 0.25, "fear"
    assert found.loc[1, ["apex", "valence", "label"]].tolist() == [7, 0.25, "fear"]
    assert file.read_bytes() == written


def test_a_torn_file_and_a_foreign_one_are_named(tmp_path):
    file = tmp_path / "m.arrow"
    save(frames(100), file)
    whole = file.read_bytes()
    for length in (0, 100, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:length])
        with pytest.raises(DatasetError, match=rf"m\.arrow \({length} bytes\) is no whole manifest"):
            load(file)
    frames(3).to_feather(file, compression="uncompressed")
    with pytest.raises(DatasetError, match="written by another program"):
        load(file)


def test_a_folder_that_cannot_be_written_says_where(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"could not be written to .*file/m\.arrow"):
        save(frames(3), tmp_path / "file" / "m.arrow")


# ---- kept while the raw folder stays as it is


@pytest.fixture
def raw(tmp_path, monkeypatch) -> Path:
    """A tiny Aff-Wild2 that counts as old enough to be kept."""
    affwild2.write_tiny(tmp_path / "raw")
    monkeypatch.setattr(store, "FRESH", 0)
    return tmp_path / "raw"


@pytest.fixture
def keep(raw, tmp_path, monkeypatch):
    """Ask for the manifest; tell whether it was built. What is given back is always what building gives."""
    built = []
    real = affwild2.build_manifest

    def build_manifest(root, every=1):
        built.append(every)
        return real(root, every=every)

    def ask(**options) -> bool:
        built.clear()
        found = cached_manifest(partial(build_manifest, **options), raw, tmp_path / "cache", "toy")
        was_built, wanted = bool(built), real(raw, **options)
        text = [column for column in wanted.columns if column not in contract.FRAME_COLUMNS]
        as_text = dict.fromkeys(text, "str")
        pd.testing.assert_frame_equal(found.astype(as_text), wanted.astype(as_text))
        assert found.attrs == wanted.attrs
        return was_built

    return ask


def test_a_second_run_does_not_build(keep, capsys):
    assert keep()
    assert not keep()
    assert "manifest of 170 samples as kept in" in capsys.readouterr().err


def test_other_options_have_a_file_of_their_own(keep, tmp_path):
    assert keep()
    assert keep(every=2)
    assert not keep()
    assert not keep(every=2)
    assert len(list((tmp_path / "cache").iterdir())) == 2


def add_frame(raw: Path) -> None:
    video = raw / "cropped_aligned" / "video5"
    missing = next(n for n in range(1, 17) if not (video / f"{n:05d}.jpg").exists())
    (video / f"{missing:05d}.jpg").write_bytes((video / "00001.jpg").read_bytes())


def remove_frame(raw: Path) -> None:
    (raw / "cropped_aligned" / "video5" / "00002.jpg").unlink()


def rename_video(raw: Path) -> None:
    (raw / "cropped_aligned" / "video5").rename(raw / "cropped_aligned" / "video6")


def remove_annotation(raw: Path) -> None:
    next((raw / "annotations" / "EXPR_Set" / "Train_Set").glob("*.txt")).unlink()


def edit_annotation_and_hide_it(raw: Path) -> None:
    """Same size, same time of change: only ctime tells."""
    file = raw / "annotations" / "EXPR_Set" / "Train_Set" / "video5.txt"
    times, text = file.stat(), file.read_text()
    file.write_text(text.replace("\n1\n", "\n2\n"))
    assert file.read_text() != text
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (times.st_size, times.st_mtime_ns)


CHANGES = [add_frame, remove_frame, rename_video, remove_annotation, edit_annotation_and_hide_it]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_any_change_that_a_builder_could_see_builds_again(keep, raw, capsys, change):
    assert keep()
    change(raw)
    assert keep()
    assert "changed since the manifest was kept; building it again" in capsys.readouterr().err
    assert not keep()


def test_an_overwritten_image_is_no_change_of_the_manifest(keep, raw):
    assert keep()
    (raw / "cropped_aligned" / "video5" / "00001.jpg").write_bytes(b"")
    assert not keep()


def test_frames_behind_a_link_are_watched_and_a_circle_of_links_ends(keep, raw, tmp_path):
    (raw / "cropped_aligned" / "video5").rename(tmp_path / "elsewhere")
    (raw / "cropped_aligned" / "video5").symlink_to(tmp_path / "elsewhere")
    (raw / "annotations" / "EXPR_Set" / "circle").symlink_to(raw)
    assert not [place for place in store.look(raw) if "circle" in place]
    assert keep()
    assert not keep()
    (tmp_path / "elsewhere" / "00002.jpg").unlink()
    assert keep()


def test_what_has_only_just_changed_is_not_kept(keep, monkeypatch, capsys):
    monkeypatch.setattr(store, "FRESH", 3600)
    assert keep()
    assert keep()
    assert "changed less than 3600 s ago" in capsys.readouterr().err


def test_files_of_openpose_count_only_where_the_builder_reads_them(raw, tmp_path):
    file = next((raw / "openpose").rglob("*_keypoints.json"))
    before = {poses: store.look(raw, poses) for poses in (False, True)}
    file.write_text(file.read_text() + " ")
    assert store.look(raw) == before[False]
    assert {place for place, state in store.look(raw, poses=True).items() if state != before[True][place]} == {
        str(file.parent.relative_to(raw))
    }
    options = {"input": "openpose_json", "pose_distance": 0.01}
    build = partial(affwild2.build_manifest, **options)
    cached_manifest(build, raw, tmp_path / "cache", "toy")
    whole = file.read_text()
    file.write_text("{}")
    with pytest.raises(DatasetError, match=file.name):
        cached_manifest(build, raw, tmp_path / "cache", "toy")
    file.write_text(whole)


@pytest.mark.parametrize("folds", ["{outside}/folds.csv", "../elsewhere/folds.csv"])
def test_what_is_read_outside_the_raw_folder_is_not_kept(raw, tmp_path, capsys, folds):
    (tmp_path / "elsewhere").mkdir()

    def build(root: Path, folds: str) -> pd.DataFrame:
        return frames(3).assign(label=(root / folds).read_text())

    made = partial(build, folds=folds.format(outside=tmp_path / "elsewhere"))
    for label in ("fear", "anger"):
        (tmp_path / "elsewhere" / "folds.csv").write_text(label)
        assert cached_manifest(made, raw, tmp_path / "cache", "toy")["label"].unique().tolist() == [label]
    assert "not kept: " in capsys.readouterr().err


def test_a_torn_file_is_built_again(keep, tmp_path, capsys):
    assert keep()
    file = next((tmp_path / "cache").iterdir())
    file.write_bytes(file.read_bytes()[:1000])
    assert keep()
    assert "building the manifest again" in capsys.readouterr().err
    assert not keep()


def test_another_version_of_the_builder_builds_again(raw, tmp_path, capsys):
    """Somebody's own builder, in a file of their own."""
    file = tmp_path / "own.py"
    code = """
        from fer_lightning.datasets import contract
        def build(root):
            return contract.fill(contract.pd.DataFrame({"sample_id": ["own/1"], "label": "LABEL"}))
    """

    def with_label(label: str) -> pd.DataFrame:
        file.write_text(dedent(code).replace("LABEL", label))
        spec = importlib.util.spec_from_file_location("own", file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return cached_manifest(module.build, raw, tmp_path / "cache", "own")

    assert with_label("fear")["label"].unique().tolist() == ["fear"]
    assert with_label("anger!")["label"].unique().tolist() == ["anger!"]
    assert "the code of fer_lightning.datasets" in capsys.readouterr().err
