"""The predictions of all epochs and the facts of a fold: read whole, or refused in a line that names the file."""

import io
import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fer_lightning.errors import PoolError
from fer_lightning.reporting.epochs import at_last_epoch, read_epochs
from fer_lightning.reporting.pool import read_pool
from fer_lightning.reporting.scores import score, write_scores

FOLD = "casme2-sub1"


def npz(**arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


DAMAGE: dict[str, Callable[[bytes, dict[str, np.ndarray]], bytes]] = {
    "half": lambda content, arrays: content[: len(content) // 2],
    "garbage": lambda content, arrays: bytes(range(256)) * 9,
    "empty": lambda content, arrays: b"",
    "another_kind_of_file": lambda content, arrays: npy(arrays["probabilities"]),
    "without_an_array": lambda content, arrays: npz(epoch=arrays["epoch"]),
    "a_single_epoch": lambda content, arrays: npz(**arrays | {"epoch": np.array(3)}),
    "epochs_of_text": lambda content, arrays: npz(**arrays | {"epoch": arrays["epoch"].astype(str)}),
    "text": lambda content, arrays: npz(**arrays | {"probabilities": arrays["probabilities"].astype(str)}),
    "complex": lambda content, arrays: npz(**arrays | {"probabilities": arrays["probabilities"].astype(complex)}),
    "ids_in_two_columns": lambda content, arrays: npz(**arrays | {"sample_id": arrays["sample_id"][:, None]}),
    "numbers_as_ids": lambda content, arrays: npz(**arrays | {"sample_id": np.arange(len(arrays["sample_id"]))}),
    "no_number": lambda content, arrays: npz(**arrays | {"probabilities": arrays["probabilities"] * np.nan}),
}


@pytest.fixture
def run(make_run) -> Path:
    return make_run(selection="oracle_test")


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_named_and_scores_of_before_are_kept(run, damage):
    write_scores(run)
    before = (run / "scores.json").read_bytes()
    file = run / "epochs" / f"{FOLD}.npz"
    with np.load(file) as found:
        arrays = dict(found)
    file.write_bytes(DAMAGE[damage](file.read_bytes(), arrays))
    with pytest.raises(PoolError) as refused:
        write_scores(run)
    said = str(refused.value)
    assert said.startswith(f"{file}: expected ")
    assert f"Remove predictions/{FOLD}.csv and run the same command again" in said
    assert "\n" not in said
    assert (run / "scores.json").read_bytes() == before


def test_bytes_that_fell_over_are_refused_or_harmless(run):
    """Any of 300 files with some wrong bytes gives the right predictions or a `PoolError`."""
    file, rng = run / "epochs" / f"{FOLD}.npz", random.Random(0)
    whole, pool = file.read_bytes(), read_pool(run)
    expected, refused = read_epochs(pool)[FOLD], 0
    for _ in range(300):
        content = bytearray(whole)
        for _ in range(rng.choice([1, 2, 5])):
            content[rng.randrange(len(content))] = rng.randrange(256)
        file.write_bytes(bytes(content))
        try:
            found = read_epochs(pool)[FOLD]
        except PoolError:
            refused += 1
            continue
        assert found.sample_id.tolist() == expected.sample_id.tolist()
        assert found.epoch.tolist() == expected.epoch.tolist()
        assert np.array_equal(found.probabilities, expected.probabilities)
    assert refused > 100


@pytest.mark.parametrize("key", ["epoch", "epochs", "seconds", "device", "versions"])
def test_facts_of_a_fold_that_lack_one_are_named(run, key):
    file = run / "predictions" / f"{FOLD}.json"
    facts = json.loads(file.read_text())
    del facts[key]
    file.write_text(json.dumps(facts))
    with pytest.raises(PoolError, match=rf"{FOLD}\.json: expected .*{key}.* Remove predictions/{FOLD}\.\*"):
        at_last_epoch(read_pool(run)) if key == "epochs" else score(read_pool(run))


def test_seconds_that_are_no_number_are_named(run):
    file = run / "predictions" / f"{FOLD}.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"seconds": "long"}))
    with pytest.raises(PoolError, match=rf"{FOLD}\.json: expected .* found 'long'"):
        score(read_pool(run))
