"""Commands on run folders with a damaged file: each ends with 2 and one line that names it, and leaves all as it is."""

import io
import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from fer_lightning import compare, ensemble, explain, report, score
from fer_lightning.errors import ConfigError, PoolError
from fer_lightning.explaining.finished import FinishedRun
from fer_lightning.reporting.members import read_members
from tests.reporting.conftest import CLASSES, images
from tests.reporting.test_ensemble import add_views, content

#: What a config.yaml may hold and not be YAML: an open bracket, a tab, a date that is none, no text, too deep.
NO_YAML = [b"seed: [", b"seed: 0\n\tname: x\n", b"seed: 2001-99-99\n", b"\x00\x89PNG\xff", b"[" * 5000]


@pytest.fixture
def refuse(capsys) -> Callable[..., str]:
    """refuse(command, argument, ...) -> the one line in which the command refuses them, with 2."""

    def run(command: Callable, *arguments: object, lines: int = 1) -> str:
        assert command([*map(str, arguments)]) == 2
        said = capsys.readouterr().err.splitlines()
        assert len(said) == lines, said
        return said[0]

    return run


@pytest.fixture
def two(make_run) -> list[Path]:
    return [make_run(images(), "holdout", skill=skill, name=name) for name, skill in (("a", 0.3), ("b", 0.9))]


def change(folder: Path, **values: object) -> None:
    """Put values into the config of a run; of None, the key is taken out."""
    file = folder / "config.yaml"
    config = yaml.safe_load(file.read_text()) | values
    file.write_text(yaml.safe_dump({key: value for key, value in config.items() if value is not None}))


@pytest.mark.parametrize("broken", NO_YAML)
def test_a_config_that_is_no_yaml(broken, two, refuse):
    file = two[1] / "config.yaml"
    file.write_bytes(broken)
    before = [content(folder) for folder in two]
    out = two[0].parent / "out"
    for command, arguments in (
        (score.main, [two[1]]),
        (compare.main, two),
        (ensemble.main, [*two, "--out", out]),
        (explain.main, [two[1]]),
    ):
        said = refuse(command, *arguments)
        assert f"{file}: cannot be read (" in said
        assert "Remove it. Run the same command again" in said
    said = refuse(report.main, two[1], lines=2)  # the second: nothing to make a page of
    assert said.startswith("refused: b: b/config.yaml cannot be read: ")
    assert [content(folder) for folder in two] == before
    assert not out.exists()


@pytest.mark.parametrize("key", ["model_name", "data", "protocol"])
def test_a_name_that_is_a_mapping(key, two, refuse):
    whole = yaml.safe_load((two[1] / "config.yaml").read_text())
    change(two[1], **{key: {"a": "b"} if key == "model_name" else whole[key] | {"name": {"a": "b"}}})
    before = content(two[1])
    for command in (compare.main, ensemble.main):
        said = refuse(command, *two)
        assert f"{two[1] / 'config.yaml'}: expected model_name, " in said
        assert f"a name as {key if key == 'model_name' else 'name'}, found {{'a': 'b'}}" in said
    assert content(two[1]) == before


@pytest.mark.parametrize(
    "broken",
    [*NO_YAML, b"", b"[1]", b"ensemble: 3\n", b"ensemble: {members: []}\n", b"seed: 0\n"],
)
def test_an_ensemble_is_not_written_over_a_folder_with_another_config(broken, two, refuse):
    out = two[0].parent / "out"
    out.mkdir()
    (out / "config.yaml").write_bytes(broken)
    (out / "mine.txt").write_text("years of work")
    before = content(out)
    said = refuse(ensemble.main, *two, "--out", out)
    assert f"{out} holds something that is no ensemble, expected nothing or ensemble " in said
    assert said.endswith("Choose another --out, or leave it out")
    assert content(out) == before


@pytest.mark.parametrize("key", ["seconds", "device", "versions"])
def test_an_ensemble_of_a_fold_without_its_facts_leaves_no_half_folder(key, two, refuse):
    file = two[1] / "predictions" / "holdout.json"
    facts = json.loads(file.read_text())
    del facts[key]
    file.write_text(json.dumps(facts))
    out = two[0].parent / "out"
    said = refuse(ensemble.main, *two, "--out", out)
    assert f"{file}: expected {key} of the fold, found only fold, " in said
    assert "Remove predictions/holdout.* and run the same command again" in said
    assert not out.exists()


def npz(**arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


VIEWS: dict[str, Callable[[dict[str, np.ndarray]], bytes]] = {
    "half": lambda found: npz(**found)[:400],
    "garbage": lambda found: bytes(range(256)) * 9,
    "empty": lambda found: b"",
    "without_an_array": lambda found: npz(view=found["view"]),
    "ids_in_two_columns": lambda found: npz(**found | {"sample_id": found["sample_id"][:, None]}),
    "numbers_as_ids": lambda found: npz(**found | {"sample_id": np.arange(len(found["sample_id"]))}),
    "no_text_as_ids": lambda found: npz(**found | {"sample_id": found["sample_id"].view("u4").byteswap().view("U13")}),
    "complex_ids": lambda found: npz(**found | {"sample_id": np.arange(len(found["sample_id"])) + 1j}),
    "one_view_without_an_axis": lambda found: npz(**found | {"view": np.array("centre")}),
    "a_view_less": lambda found: npz(**found | {"view": found["view"][1:]}),
    "a_class_less": lambda found: npz(**found | {"probabilities": found["probabilities"][..., 1:]}),
    "two_axes": lambda found: npz(**found | {"probabilities": found["probabilities"][:, 0]}),
    "a_single_number": lambda found: npz(**found | {"probabilities": np.array(0.5)}),
    "text": lambda found: npz(**found | {"probabilities": found["probabilities"].astype(str)}),
    "no_number": lambda found: npz(**found | {"probabilities": found["probabilities"] * np.nan}),
}


def arrays(file: Path) -> dict[str, np.ndarray]:
    with np.load(file) as found:
        return dict(found)


@pytest.mark.parametrize("damage", VIEWS)
def test_views_that_are_damaged_are_named(damage, two, refuse):
    add_views(two[0])
    file = two[0] / "views" / "holdout.npz"
    file.write_bytes(VIEWS[damage](arrays(file)))
    before, out = content(two[0]), two[0].parent / "out"
    said = refuse(ensemble.main, two[0], "--views", "vote", "--out", out)
    if damage == "no_number":
        assert f"{two[0]}: the mean of views/ differs from predictions/" in said
    else:
        assert f"{file}: expected " in said
        assert "Remove predictions/holdout.csv and run the same command again: only this fold is run" in said
    assert content(two[0]) == before
    assert not out.exists()


def test_views_with_bytes_that_fell_over_are_refused_or_harmless(two):
    """Any of 150 files with some wrong bytes gives the right predictions or a `PoolError`."""
    add_views(two[0])
    file, rng = two[0] / "views" / "holdout.npz", random.Random(0)
    whole, expected, refused = file.read_bytes(), read_members(two[:1], "vote"), []
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(rng.choice([1, 2, 5])):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        file.write_bytes(bytes(damaged))
        try:
            found = read_members(two[:1], "vote")
        except PoolError as error:
            refused.append(str(error))
            continue
        assert np.array_equal(found.probabilities, expected.probabilities)
    assert len(refused) > 50
    assert not any("\n" in message for message in refused)


def test_folds_with_other_views_are_refused(make_run, refuse):
    folder = make_run()
    add_views(folder)
    file = sorted((folder / "views").glob("*.npz"))[-1]
    whole = arrays(file)
    for names in (["centre", "top left", "mirrored centre"], ["top left", "centre"]):
        fewer = whole["probabilities"][:, : len(names)]
        file.write_bytes(npz(**whole | {"view": np.array(names), "probabilities": fewer}))
        said = refuse(ensemble.main, folder, "--views", "centre")
        assert f"{file}: expected the views ['top left', 'centre', 'mirrored centre']" in said
        assert f"found {names}" in said


class Data:
    """Stands in for a data set: a run is opened on it without any file."""

    name, recipe = "generated", None

    def __init__(self, sampling: str = "shuffled", **settings: object) -> None:
        if sampling != "shuffled":
            raise ConfigError(f"data.sampling={sampling!r} is none")

    def build(self, cache: Path) -> None:
        self.cache = cache

    def prepare(self, cache: Path, workers: int, progress: object) -> None:
        assert cache == self.cache


@pytest.fixture
def kept(make_run) -> tuple[Path, dict]:
    """A run whose weights were kept, as far as `explain` asks before it reads them, and its config."""
    folder = make_run()
    (folder / "weights").mkdir()
    for file in (folder / "predictions").glob("*.csv"):
        (folder / "weights" / f"{file.stem}.safetensors").touch()
    config = {
        "data": {"_target_": f"{__name__}.Data", "name": "megc2019", "classes": CLASSES, "kind": "flow"},
        "paths": {"cache": str(folder / "cache")},
        "model": {"_target_": "fer_lightning.models.ststnet.STSTNet"},
        "augment": {"transform": None, "evaluate": None, "views": None},
        "task": {"num_classes": 3},
    }
    change(folder, **config)
    assert len(FinishedRun(folder).table) == 24, "the whole config opens the run"
    return folder, config


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("data.kind", None), ("data.kind", 3), ("data._target_", None), ("paths", None), ("paths.cache", None),
        ("paths", "here"), ("model", None), ("model", "ststnet"), ("model._target_", None),
        ("model._target_", "fer_lightning.models.ststnet.Gone"), ("model.depth", 3), ("augment", None),
        ("augment", [1]), ("task", None),
    ],
)  # fmt: skip
def test_a_run_is_not_explained_without_its_whole_config(key, value, kept, refuse):
    folder, config = kept
    node, _, inner = key.partition(".")
    if inner:
        value = {name: part for name, part in (config[node] | {inner: value}).items() if part is not None}
    change(folder, **{node: value})
    before = content(folder)
    said = refuse(explain.main, folder)
    assert f"ConfigError: {folder / 'config.yaml'} is not the whole config of a run (" in said
    assert node in said.partition("(")[2]
    assert "Put it back from a copy, or remove it and run the same command again" in said
    assert content(folder) == before


def test_a_cache_that_is_named_needs_no_paths(kept, tmp_path):
    folder, _ = kept
    change(folder, paths=None)
    assert FinishedRun(folder, cache=str(tmp_path)).data.cache == tmp_path


def test_what_the_data_itself_refuses_is_said_in_its_words(kept, refuse):
    folder, config = kept
    change(folder, data=config["data"] | {"sampling": "odd"})
    assert refuse(explain.main, folder) == "ConfigError: data.sampling='odd' is none"


def test_a_key_twice_in_the_config_is_named(kept, refuse):
    folder, _ = kept
    file = folder / "config.yaml"
    file.write_text(file.read_text() + "seed: 0\n")
    assert f"{file}: expected the config of a run, " in refuse(explain.main, folder)
