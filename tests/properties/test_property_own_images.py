"""Pictures in class folders: whatever files and folders are called."""

import os
import re
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fer_lightning.datasets import contract, own_images
from fer_lightning.preprocess import sources
from tests.properties_of import answer, examples, folder

pytestmark = pytest.mark.filterwarnings("ignore:.*nobody is known")
SUFFIXES = (".png", ".JPG", ".jpeg", ".bmp", ".tif", ".txt", ".mp4", "")
names = st.sampled_from(["a", "b 1", "ä", "1", "01", ".a", "x#y", "a\nb", "__MACOSX", "train", "Test", "\u202e", "C:"])
names |= st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=4)
names = names.filter(lambda name: name not in (".", "..") and len(name.encode()) < 200)
paths = st.lists(
    st.tuples(st.lists(names, max_size=3), names, st.sampled_from(SUFFIXES)).map(
        lambda parts: "/".join([*parts[0], parts[1] + parts[2]])
    ),
    min_size=1,
    max_size=5,
    unique=True,
)


def write(root: Path, wanted: list[str]) -> list[str]:
    """Those of the files that can stand beside each other: no name is a file and a folder."""
    done = []
    for path in wanted:
        try:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).touch(exist_ok=False)
            done.append(path)
        except OSError:
            continue
    return done


def is_picture(path: str) -> bool:
    *folders, name = PurePosixPath(path).parts
    hidden = name.startswith(".") or any(folder_.startswith((".", "__MACOSX")) for folder_ in folders)
    return not hidden and name.lower().endswith((".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"))


@examples(150)
@given(paths, st.sampled_from([("label", "subject"), ("split", "label"), ("subject", "label")]))
@example(["train/x/a#1.png"], ("split", "label"))
@example(["train/x/a\\1.png"], ("split", "label"))
@example(["train/x/a.png", "train/x/a.JPG"], ("split", "label"))
def test_every_picture_is_a_row_or_the_folder_is_refused(wanted, levels):
    with folder({}) as root:
        wanted = write(root, wanted)
        found = answer(lambda: contract.check(own_images.build_manifest(root, levels), where="own"))
        if found is None:
            return
        assert all((root / path).is_file() and not sources.container(path) for path in found["path"])
    assert sorted(found["path"]) == sorted(filter(is_picture, wanted))
    for row in found.itertuples():
        said = dict(zip(levels, row.path.split("/"), strict=False))
        assert (row.label, row.subject) == (said["label"], said.get("subject", ""))
        assert row.group == (f"own/{row.subject}" if row.subject else "")
        splits = {"train": "train", "training": "train", "test": "test", "testing": "test", "": ""}
        splits |= dict.fromkeys(("val", "valid", "validation", "dev"), "val")
        assert row.split == splits[said.get("split", "").lower()]
        assert row.sample_id == "own/" + row.path[: -len(PurePosixPath(row.path).suffix)]


def test_a_name_that_is_no_text_is_refused():
    with folder({"train/x/1.png": b""}) as root:
        with open(os.fsencode(root / "train/x/") + b"/\xe9.png", "wb"):
            pass
        assert answer(lambda: own_images.build_manifest(root), "train/x/", ".png") is None


@examples(60)
@given(st.lists(st.text("s1_2-x .", min_size=1, max_size=6), min_size=1, max_size=4, unique=True))
def test_the_subject_of_a_file_name(stems):
    stems = [stem for stem in stems if not stem.startswith(".")] or ["s1_1"]
    with folder({f"x/{stem}.png": b"" for stem in stems}) as root:
        read = lambda: own_images.build_manifest(root, ["label"], subject_pattern="^(s[0-9]+)_")  # noqa: E731
        found = answer(read, "subject_pattern")
    match = {stem: re.match("s[12]+_", stem) for stem in stems}
    assert (found is None) == (None in match.values())
    if found is not None:
        expected = {f"x/{stem}.png": stem.partition("_")[0] for stem in stems}
        assert dict(zip(found["path"], found["subject"], strict=True)) == expected
