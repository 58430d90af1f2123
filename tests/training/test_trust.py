"""What the project promises about its numbers, each promise broken on purpose."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from hydra.utils import instantiate

from fer_lightning.datasets import megc2019_flow
from fer_lightning.errors import ConfigError, StorageError
from fer_lightning.files import write_atomically
from fer_lightning.protocols import fold as fold_module
from fer_lightning.reporting.scores import write_scores
from tests import warm
from tests.runs import HOUSE, SMALL, command, configure, predictions, read

KEYS = [
    "samples", "folds", "classes", "selection", "seed", "accuracy", "uf1", "uar", "weighted_f1", "mcc",
    "accuracy_one_vs_rest", "uf1_ci95", "uar_ci95", "accuracy_ci95", "per_class", "confusion", "parts", "synthetic",
    "versions", "device", "seconds",
]  # fmt: skip


def test_a_run_leaves_what_other_programs_rely_on(whole):
    out = whole()
    scores = json.loads((out / "scores.json").read_text())
    assert [key for key in KEYS if key not in scores] == []
    assert scores["synthetic"] is True
    assert scores["folds"] == len(predictions(out)) > 3
    assert set(scores["parts"]) == {"casme2", "samm", "smic"}
    first = read(out, f"predictions/{next(iter(predictions(out)))}")
    assert list(first.columns) == [
        "sample_id",
        "fold",
        "label",
        "predicted",
        "p_negative",
        "p_positive",
        "p_surprise",
    ]
    for name in (
        "config.yaml",
        "manifest.csv",
        "figures/confusion_matrix.png",
        "figures/learning_curves.png",
    ):
        assert (out / name).is_file(), name


def test_scores_are_rebuilt_byte_for_byte_from_the_files_alone(whole, tmp_path):
    out = Path(shutil.copytree(whole(), tmp_path / "copy"))
    before = (out / "scores.json").read_bytes()
    (out / "scores.json").unlink()
    write_scores(out)
    assert (out / "scores.json").read_bytes() == before


def test_a_fold_alone_equals_the_fold_among_others(run_here, whole):
    together = predictions(whole())
    name = list(together)[2]
    alone = predictions(run_here(f"protocol.only=[{name.removesuffix('.csv')}]"))
    assert alone == {name: together[name]}


def test_folds_side_by_side_equal_folds_one_after_the_other(run_here, whole):
    assert predictions(run_here("protocol.workers=2")) == predictions(whole())


def test_fold_jobs_equal_folds_in_one_process(run_here, whole):
    together = whole()
    for index in range(len(predictions(together))):
        jobs = run_here("protocol=loso_jobs", f"protocol.index={index}")
    assert predictions(jobs) == predictions(together)
    assert (jobs / "scores.json").is_file()


def test_half_a_pool_is_not_scored(run_here, capsys):
    out = run_here("protocol.only=[samm-006]")
    assert not (out / "scores.json").exists()
    assert "1 of " in capsys.readouterr().out


def test_the_oracle_keeps_the_honest_number_beside_it(run_here, whole):
    honest = json.loads((whole() / "scores.json").read_text())
    oracle = json.loads((run_here("protocol.selection=oracle_test") / "scores.json").read_text())
    assert oracle["selection"] == "oracle_test"
    for key in ("accuracy", "uf1", "uar"):
        assert oracle["honest"][key] == honest[key], "looking at the test samples has changed the training"
        assert oracle[f"{key}"] - oracle["honest"][key] == pytest.approx(oracle["honest"][f"oracle_gap_{key}"])
    assert oracle["accuracy"] >= honest["accuracy"]


def test_inner_validation_uses_other_subjects_and_only_training_ones(run_here):
    out = run_here("protocol.selection=inner_val", "protocol.inner_val=0.3")
    manifest = read(out, "manifest.csv").set_index("sample_id")
    for name in predictions(out):
        tested = set(manifest.loc[read(out, f"predictions/{name}")["sample_id"], "group"])
        watched = set(manifest.loc[read(out, f"validation/{name}")["sample_id"], "group"])
        assert tested
        assert watched
        assert not tested & watched


def test_training_does_not_see_the_tested_subject(run_here, monkeypatch):
    """The tested subject's pixels are poisoned in the cache: not one weight may change."""

    def weights_of(poison: bool) -> dict:
        cfg = configure(*SMALL, "trainer.max_epochs=2")
        data = instantiate(cfg.data)
        data.tiny(data.root)
        data.build()
        data.prepare(cfg.paths.cache)
        from fer_lightning.run import plan

        fold = plan(cfg, data.manifest)[0]
        array = np.array(data.cache.array)
        if poison:
            array[data.cache.numbers(list(fold.test))] = 255
        object.__setattr__(data.cache, "array", array)
        seen = {}
        write = fold_module.write_curves
        monkeypatch.setattr(fold_module, "write_curves", lambda *a: (seen.update(curves=a[2]), write(*a)))
        tasks = []
        build = fold_module.build_task
        monkeypatch.setattr(fold_module, "build_task", lambda *a, **k: tasks.append(build(*a, **k)) or tasks[-1])
        from fer_lightning.identity import run_folder

        fold_module.run_fold(cfg, data, fold, run_folder(cfg) / str(poison), lambda line: None)
        monkeypatch.setattr(fold_module, "build_task", build)
        monkeypatch.setattr(fold_module, "write_curves", write)
        return {"curves": seen["curves"], **tasks[0].net.state_dict()}

    run_here("trainer.max_epochs=1")  # sets the environment
    clean, poisoned = weights_of(False), weights_of(True)
    assert clean["curves"] == poisoned["curves"]
    for name, value in clean.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, poisoned[name]), name


def test_predictions_do_not_depend_on_the_batch(run_here):
    cfg = configure(*SMALL)
    run_here("trainer.max_epochs=1")
    data = instantiate(cfg.data)
    data.tiny(data.root)
    data.build()
    data.prepare(cfg.paths.cache)
    from fer_lightning.functional.folds import Fold
    from fer_lightning.protocols.selection import probabilities

    ids = tuple(data.manifest["sample_id"])
    task = fold_module.build_task(cfg)
    found = []
    for order, size in ((ids, 64), (ids, 1), (tuple(reversed(ids)), 7)):
        data.batch_size = size
        data.use_fold(Fold("all", ids, (), order), seed=0)
        found.append(dict(zip(order, probabilities(task, data.loader("test")), strict=True)))
    for other in found[1:]:
        for sample in ids:
            torch.testing.assert_close(other[sample], found[0][sample], rtol=0, atol=1e-6)


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_like_an_unbroken_one(environment, start, tmp_path, whole):
    options = [*SMALL, "trainer.max_epochs=20", "run_name=killed"]
    options.remove("debug=tiny")
    running = subprocess.Popen(command(*options), cwd=HOUSE, env=environment, stderr=subprocess.PIPE)
    folder = tmp_path / "runs" / "killed"
    deadline = time.monotonic() + 120
    while len(list(folder.glob("predictions/*.csv"))) < 2:
        assert running.poll() is None, "ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    kept = {file.name: file.stat().st_mtime_ns for file in folder.glob("predictions/*.csv")}
    assert not (folder / "scores.json").exists()
    done = start(*options)
    assert done.returncode == 0, done.stderr
    for name, moment in kept.items():
        assert (folder / "predictions" / name).stat().st_mtime_ns == moment, f"{name} was trained again"
    assert predictions(folder) == predictions(whole("trainer.max_epochs=20"))


@pytest.mark.slow
def test_two_processes_on_one_run_folder_share_the_work(environment, tmp_path, whole):
    options = [*SMALL, "trainer.max_epochs=20", "run_name=shared"]
    options.remove("debug=tiny")
    both = [warm.begin(["train.py", *options], environment) for _ in range(2)]
    for process in both:
        process.join(240)
    assert [process.exitcode for process in both] == [0, 0], "what they said stands below"
    assert predictions(tmp_path / "runs" / "shared") == predictions(whole("trainer.max_epochs=20"))


@pytest.mark.parametrize("when", ["trainer.checkpoint_every=1", "trainer.checkpoint_minutes=1e-6"])
def test_a_fold_killed_in_the_middle_goes_on_from_its_checkpoint(run_here, monkeypatch, when):
    options = ["trainer.max_epochs=6", when, "protocol.only=[samm-006]"]
    unbroken = predictions(run_here(*options, runs="unbroken"))
    epochs = []

    class Stop(Exception):
        pass

    tell = fold_module._Tell.on_train_epoch_start

    def stop_at_four(self, trainer, task):
        epochs.append(trainer.current_epoch)
        if len(epochs) == 5:
            raise Stop
        tell(self, trainer, task)

    monkeypatch.setattr(fold_module._Tell, "on_train_epoch_start", stop_at_four)
    with pytest.raises(Stop):
        run_here(*options, runs="broken")
    out = run_here(*options, runs="broken")
    assert epochs == [0, 1, 2, 3, 4, 4, 5], "the second go does not begin where the first ended"
    assert predictions(out) == unbroken
    assert len(read(out, "curves/samm-006.csv")) == 6


def test_a_folder_of_another_config_is_refused_with_the_keys_that_differ(run_here):
    run_here("run_name=mine", "trainer.max_epochs=1")
    with pytest.raises(ConfigError, match=r"trainer\.max_epochs: 1 there, 2 now"):
        run_here("run_name=mine", "trainer.max_epochs=2")


def test_other_data_in_an_old_run_folder_is_refused(run_here, tiny_raw, tmp_path):
    out = run_here("run_name=mine")
    table = pd.read_csv(out / "manifest.csv", keep_default_na=False)
    table.iloc[1:].to_csv(out / "manifest.csv", index=False)
    with pytest.raises(ConfigError, match="differs from the manifest of the data as it is now"):
        run_here("run_name=mine")


@pytest.fixture
def pictures(tmp_path, monkeypatch, run_here):
    """Run on a raw folder of its own, `raw`, with a cache of its own."""
    raw = tmp_path / "raw"
    megc2019_flow.write_tiny(raw / "megc2019")

    def go(*overrides, raw=raw):
        return run_here("trainer.max_epochs=1", f"paths.raw={raw}", f"paths.cache={tmp_path}/cache", *overrides)

    return go


def test_folds_of_other_pixels_are_refused_but_moved_raw_files_are_not(pictures, tmp_path):
    out = pictures("protocol.only=[samm-006]")
    facts = json.loads((out / "run.json").read_text())
    assert facts["synthetic"] is True
    raw, moved = tmp_path / "raw", tmp_path / "moved"
    raw.rename(moved)
    for file in moved.rglob("*.*"):
        file.touch()
    assert pictures("protocol.only=[samm-007]", raw=moved) == out
    assert len(predictions(out)) == 2
    for file in [file for kind in ("jpg", "png", "bmp") for file in moved.rglob(f"*.{kind}")]:
        cv2.imwrite(str(file), 255 - cv2.imread(str(file)))
    with pytest.raises(ConfigError, match=r"run\.json: .*other pixels.*raw files.*run_name"):
        pictures(raw=moved)
    assert len(predictions(out)) == 2
    pictures("protocol.only=[samm-006]", raw=moved)  # nothing to train: finished folds may still be looked at
    assert json.loads((out / "run.json").read_text()) == facts
    (out / "run.json").write_text('{"synthetic": true}\n')  # of before the pixels were kept
    pictures("protocol.only=[smic-s01]", raw=moved)
    assert len(predictions(out)) == 3


@pytest.mark.parametrize(
    "more", [[], ["protocol.selection=inner_val", "protocol.metric=val_loss"], ["protocol.selection=oracle_test"]]
)
def test_weights_that_become_nan_in_the_last_steps_are_no_finished_fold(run_here, tmp_path, more):
    options = ["trainer.max_epochs=1", "data.batch_size=512", "optimizer=sgd", "optimizer.lr=1e30"]
    with pytest.raises(ConfigError, match=r"training has diverged\. Lower optimizer\.lr \(now 1e\+30\)"):
        run_here(*options, "protocol.only=[samm-006]", "trainer.save_weights=true", *more)
    left = [file for kind in ("csv", "npz", "safetensors") for file in tmp_path.glob(f"runs/**/samm-006.{kind}")]
    assert left == []


def test_a_full_disk_loses_nothing_that_was_finished(run_here, whole, monkeypatch, tmp_path):
    write, sync, calls = fold_module.write_predictions, os.fsync, []

    def no_room(descriptor):
        raise OSError(28, "No space left on device")

    def disk_fills_at_the_third_fold(*arguments):
        calls.append(arguments)
        monkeypatch.setattr("os.fsync", no_room if len(calls) == 3 else sync)
        write(*arguments)

    monkeypatch.setattr(fold_module, "write_predictions", disk_fills_at_the_third_fold)
    with pytest.raises(StorageError, match=r"No space left on device.*finished folds are skipped"):
        run_here(runs="full")
    assert len(list(tmp_path.glob("full/**/predictions/*.csv"))) == 2
    assert not list(tmp_path.glob("full/**/.*.csv.*")), "half a file was left"
    monkeypatch.setattr("os.fsync", sync)
    assert predictions(run_here(runs="full")) == predictions(whole())


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    file = tmp_path / "scores.json"
    write_atomically(file, "old")

    def half(stream):
        stream.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(StorageError, match="No space left on device"):
        write_atomically(file, half)
    assert file.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["scores.json"]
