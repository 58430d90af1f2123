"""Dashboards: what is read back from a W&B run file and from TensorBoard's events is what the run folder holds."""

import json
import os
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fer_lightning.dashboards import weights_and_biases
from fer_lightning.dashboards.__main__ import main
from fer_lightning.dashboards.board import Board, flat, read_board, thinned
from fer_lightning.dashboards.samples import choose
from fer_lightning.identity import run_folder
from fer_lightning.reporting.pool import Pool
from fer_lightning.run import check_options, run
from tests.runs import HOUSE, SMALL, configure, read

CELL = [*(o for o in SMALL if o != "debug=tiny"), "trainer.max_epochs=3"]
HOLDOUT = ["model=random_guess", "data=fer2013", "trainer.max_epochs=4"]


def be_nobody(patch: pytest.MonkeyPatch, raw: Path, folder: Path) -> None:
    """Somebody without an account, at home in an empty folder."""
    for name in ("WANDB_API_KEY", "WANDB_SWEEP_ID", "WANDB_MODE", "WANDB_DIR", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        patch.delenv(name, raising=False)
    for name in ("WANDB_CACHE_DIR", "WANDB_DATA_DIR", "WANDB_ERROR_REPORTING"):  # the dashboard sets them
        patch.setenv(name, "")
    (folder / "home").mkdir()
    patch.chdir(folder / "home")
    for name, place in {"RAW": raw, "CACHE": raw / "cache", "RUNS": folder / "runs"}.items():
        patch.setenv(f"FER_{name}", str(place))
    patch.setenv("HOME", str(folder / "home"))


@pytest.fixture(scope="module")
def made(tiny_raw, tmp_path_factory) -> Path:
    """A folder with a run of 9 folds, trained with logger=wandb, and the empty home of who did it."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        be_nobody(patch, tiny_raw, folder)
        run(configure("logger=wandb", *CELL))
    return folder


@pytest.fixture
def cell(made, tiny_raw, tmp_path, monkeypatch) -> Path:
    """The run folder of such a run."""
    be_nobody(monkeypatch, tiny_raw, tmp_path)
    shutil.copytree(made / "runs", tmp_path / "runs")
    return run_folder(configure("logger=wandb", *CELL))


@pytest.fixture
def holdout(tiny_raw, tmp_path, monkeypatch):
    """Run one hold-out cell in this process; returns its run folder."""
    be_nobody(monkeypatch, tiny_raw, tmp_path)

    def start(*overrides: str, listen=None) -> Path:
        cfg = configure(*HOLDOUT, *overrides)
        run(cfg, listen)
        return run_folder(cfg)

    return start


class PowerCutError(Exception):
    pass


class Segment:
    """One W&B run file, read with W&B's own record classes: a header of 7 bytes, then blocks as LevelDB's log has."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config, self.summary, self.history, self.artifacts = {}, {}, [], {}
        [file] = folder.glob("*.wandb")
        for record in records(file.read_bytes()):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                self.run = record.run
                self.config |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
            elif kind == "summary":
                for item in record.summary.update:
                    keys = list(item.nested_key) or [item.key]
                    node = self.summary
                    for key in keys[:-1]:
                        node = node.setdefault(key, {})
                    node[keys[-1]] = json.loads(item.value_json)
            elif kind == "history":
                self.history.append({i.nested_key[0]: json.loads(i.value_json) for i in record.history.item})
            elif kind == "artifact":
                contents = {entry.path: Path(entry.local_path) for entry in record.artifact.manifest.contents}
                self.artifacts[record.artifact.name] = (record.artifact.type, contents)

    def table(self, name: str) -> pd.DataFrame:
        content = json.loads((self.folder / "files" / self.summary[name]["path"]).read_text())
        return pd.DataFrame(content["data"], columns=content["columns"])


def records(data: bytes) -> Iterator:
    from wandb.proto.wandb_internal_pb2 import Record

    assert data[:4] == b":W&B"
    at, parts = 7, b""
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        _, size, kind = struct.unpack("<IHB", data[at : at + 7])
        parts += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(parts)
            parts = b""


def segment(out: Path) -> Segment:
    [folder] = (out / "wandb").glob("offline-run-*")
    return Segment(folder)


def test_one_cell_is_one_run_of_wandb(cell, made):
    shown, scores = segment(cell), json.loads((cell / "scores.json").read_text())
    assert not [file for file in (made / "home").rglob("*") if "wandb" in str(file)], "it writes to the run folder only"
    assert shown.run.display_name == f"ststnet on megc2019_flow {cell.name}"
    assert shown.run.run_group == "megc2019_flow ststnet loso last"
    assert list(shown.run.tags) == ["megc2019_flow", "ststnet", "loso", "last", "SYNTHETIC"]
    assert shown.run.run_id == (cell / "wandb" / "id").read_text().strip()
    config = yaml.safe_load((cell / "config.yaml").read_text())
    assert {key: shown.config[key] for key in config} == config
    low, high = scores["uf1_ci95"]
    expected = {name: scores[name] for name in ("uf1", "uar", "accuracy", "mcc", "samples", "folds", "interval")}
    expected |= {"uf1_low": low, "uf1_high": high, "parts/samm/uf1": scores["parts"]["samm"]["uf1"]}
    expected |= {"per_class/positive/recall": scores["per_class"]["positive"]["recall"]}
    assert {name: shown.summary[name] for name in expected} == expected
    assert all(isinstance(shown.summary[f"figures/{name}"], dict) for name in ("confusion_matrix", "learning_curves"))


def test_the_tables_of_wandb_hold_what_the_files_hold(cell):
    out = cell
    shown, scores = segment(out), json.loads((out / "scores.json").read_text())
    confusion = shown.table("charts/confusion_table")
    assert confusion["nPredictions"].tolist() == np.ravel(scores["confusion"]).tolist()
    assert confusion["Actual"].tolist()[:4] == ["negative"] * 3 + ["positive"]
    folds = shown.table("tables/folds").set_index("fold")
    assert folds["hits"].sum() == np.trace(scores["confusion"])
    one = read(out, "predictions/samm-006.csv")
    assert folds.loc["samm-006", "accuracy"] == pytest.approx((one["label"] == one["predicted"]).mean())
    assert folds.loc["samm-006", "n"] == len(one) == 6
    losses = pd.concat(pd.read_csv(file) for file in (out / "curves").glob("*.csv")).groupby("epoch")["train_loss"]
    assert len(shown.table("tables/curves")) == 9 * 3
    assert len(shown.table("charts/train_loss_of_folds_table")) == 9 * 3
    means = {line["epoch"]: line["curves/train_loss"] for line in shown.history if "curves/train_loss" in line}
    assert means == pytest.approx(losses.mean().to_dict())
    samples = shown.table("tables/samples")
    assert (samples["right"] == (samples["label"] == samples["predicted"])).all()
    [(kind, files)] = [found for name, found in shown.artifacts.items() if "-tablessamples-" in name]
    pictures = [file.read_bytes()[:4] for name, file in files.items() if name.endswith(".png")]
    assert 1 < len(pictures) <= len(samples)
    assert set(pictures) == {b"\x89PNG"}
    kind, files = shown.artifacts[f"predictions-{shown.run.run_id}"]
    assert kind == "predictions"
    assert {"scores.json", "config.yaml", "manifest.csv", "predictions/samm-006.csv"} <= set(files)
    assert files["scores.json"].parts[-2:] == (out.name, "scores.json"), "uploaded from where it is, not copied"
    assert len(files) == 4 + 9 * 3


def test_epochs_of_the_only_fold_are_seen_while_it_trains(holdout):
    seen = []

    def look(line: dict) -> None:
        if "train_loss" in line:
            [folder] = Path(configure(*HOLDOUT).paths.runs).rglob("tensorboard")
            events = EventAccumulator(str(folder)).Reload()
            seen.append([event.step for event in events.Scalars("curves/train_loss")])

    out = holdout("logger=tensorboard", listen=look)
    assert seen == [[1], [1, 2], [1, 2, 3]]
    events = EventAccumulator(str(out / "tensorboard")).Reload()
    curves = read(out, "curves/holdout.csv")
    assert [event.step for event in events.Scalars("curves/train_loss")] == [1, 2, 3, 4]
    assert [e.value for e in events.Scalars("curves/val_loss")] == pytest.approx(curves["val_loss"].tolist())


def test_a_run_that_goes_on_is_the_same_run_of_wandb(holdout):
    def die(line: dict) -> None:
        if line["epoch"] == 2:
            raise PowerCutError

    options = ["logger=wandb", "trainer.checkpoint_every=1"]
    with pytest.raises(PowerCutError):
        holdout(*options, listen=die)
    [begun] = Path(configure(*HOLDOUT).paths.runs).rglob("offline-run-*")
    out = holdout(*options)
    shown = segment(out)
    assert shown.folder.name.rpartition("-")[2] == begun.name.rpartition("-")[2] == shown.run.run_id
    lines = {line["epoch"]: line["curves/train_loss"] for line in shown.history if "curves/train_loss" in line}
    assert lines == pytest.approx(read(out, "curves/holdout.csv").set_index("epoch")["train_loss"].to_dict())
    assert [line["_step"] for line in shown.history[:4]] == [1, 2, 3, 4]
    assert (
        shown.summary["validation/accuracy"] == json.loads((out / "scores.json").read_text())["validation"]["accuracy"]
    )


def test_without_an_account_the_run_is_finished_and_scored(holdout, capfd):
    out = holdout("logger=wandb", "logger.offline=false")
    told = capfd.readouterr().err
    assert told.count("the dashboard failed (ConfigError: W&B has no API key") == 2, "at the first epoch and at the end"
    assert f"python -m fer_lightning.dashboards {out} --logger wandb --online" in told
    assert len(read(out, "curves/holdout.csv")) == 4
    scores = json.loads((out / "scores.json").read_text())
    assert main([str(out), "--logger", "wandb", "--no-pictures"]) == 0, "published later, offline"
    assert segment(out).summary["uf1"] == scores["uf1"]
    assert "picture" not in segment(out).table("tables/samples")


def test_without_network_it_says_so(cell, monkeypatch, capfd):
    monkeypatch.setattr(weights_and_biases, "INIT", 1)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert main([str(cell), "--logger", "wandb", "--online", "--no-pictures"]) == 2
    assert "error: W&B cannot be reached" in capfd.readouterr().err


def test_tensorboard_shows_the_same(cell):
    run(configure("logger=tensorboard", *CELL))
    scores = json.loads((cell / "scores.json").read_text())
    assert main([str(cell), "--logger", "tensorboard"]) == 0, "shown again, it is shown once"
    events = EventAccumulator(str(cell / "tensorboard")).Reload()
    found = {name: events.Scalars(f"scores/{name}")[0].value for name in ("uf1", "uf1_low", "parts/smic/uar")}
    assert found == pytest.approx(
        {"uf1": scores["uf1"], "uf1_low": scores["uf1_ci95"][0], "parts/smic/uar": scores["parts"]["smic"]["uar"]}
    )
    figures = ["confusion_matrix", "learning_curves", "accuracy_of_folds", "samples"]
    assert set(events.Tags()["images"]) >= {f"figures/{name}" for name in figures}
    assert events.Images("figures/confusion_matrix")[0].encoded_image_string[:4] == b"\x89PNG"
    assert [event.step for event in events.Scalars("curves/train_loss")] == [1, 2, 3]
    assert b"SYNTHETIC" in events.Tensors("run/text_summary")[0].tensor_proto.string_val[0]
    settings = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    assert b"ststnet" in settings
    assert b"optimizer.lr" in settings


def test_a_run_without_scores_is_refused_and_one_without_its_data_has_no_pictures(cell, tmp_path, capfd):
    out = cell
    shutil.rmtree(out / "figures")
    text = (out / "config.yaml").read_text()
    config = OmegaConf.create(text)
    config.data.root = str(tmp_path / "gone")
    OmegaConf.save(config, out / "config.yaml")
    assert main([str(out), "--logger", "tensorboard"]) == 0
    assert f"{out}: no pictures of samples (" in capfd.readouterr().err
    events = EventAccumulator(str(out / "tensorboard")).Reload()
    assert events.Tags()["images"] == ["figures/accuracy_of_folds"]
    moved = ["--root", os.environ["FER_RAW"] + "/megc2019"]
    assert main([str(out), "--logger", "tensorboard", *moved]) == 0
    assert "figures/samples" in EventAccumulator(str(out / "tensorboard")).Reload().Tags()["images"]
    (out / "scores.json").unlink()
    assert main([str(out), "--logger", "tensorboard"]) == 2
    assert f"python -m fer_lightning.score --figures {out}" in capfd.readouterr().err


def test_a_run_of_a_sweep_gets_the_id_of_the_sweep(cell, monkeypatch):
    shutil.rmtree(cell / "wandb")
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep123")
    monkeypatch.setenv("WANDB_RUN_ID", "agent456")
    assert main([str(cell), "--logger", "wandb", "--no-pictures"]) == 0
    assert segment(cell).run.run_id == "agent456"
    assert segment(cell).run.sweep_id == "sweep123"
    assert not (cell / "wandb" / "id").exists()


@pytest.mark.parametrize("name", sorted(file.stem for file in (HOUSE / "sweeps").glob("*.yaml")))
def test_every_cell_of_a_wandb_sweep_is_a_config_of_ours(name):
    sweep = yaml.safe_load((HOUSE / "sweeps" / f"{name}.yaml").read_text())
    assert sweep["program"] == "train.py"
    assert sweep["command"][:3] == ["${env}", "${interpreter}", "${program}"]
    assert sweep["command"][-1] == "${args_no_hyphens}"
    assert set(sweep) == {"program", "method", "metric", "parameters", "command"}
    fixed = sweep["command"][3:-1]
    choices = [[f"{key}={value}" for value in given["values"]] for key, given in sweep["parameters"].items()]
    for number in range(max(map(len, choices))):  # every value once, not every combination: composing takes its time
        cell = [values[number % len(values)] for values in choices]
        cfg = configure(*fixed, *cell)
        check_options(cfg)
        assert not cfg.logger.offline
        honest = cfg.protocol.selection == "inner_val"
        assert sweep["metric"]["name"] == ("validation/accuracy" if honest else "uf1"), cell


def test_names_of_scores_by_hand():
    scores = {
        "uf1": 0.5,
        "uf1_ci95": [0.4, 0.6],
        "uar_ci95": None,
        "classes": ["a", "b"],
        "confusion": [[1, 0], [0, 1]],
    }
    scores |= {"parts": {"x": {"uf1": 0.1, "uf1_ci95": [0.0, 0.2]}}, "honest": None, "synthetic": False}
    assert flat(scores) == {
        "uf1": 0.5, "uf1_low": 0.4, "uf1_high": 0.6, "classes": "a, b",
        "parts/x/uf1": 0.1, "parts/x/uf1_low": 0.0, "parts/x/uf1_high": 0.2, "synthetic": False,
    }  # fmt: skip


def test_curves_are_thinned_to_what_a_chart_shows():
    curves = pd.DataFrame({"fold": ["a"] * 7 + ["b"] * 5, "epoch": [*range(1, 8), *range(1, 6)]})
    kept = thinned(curves, lines=4)  # 12 lines: every third epoch
    assert kept.groupby("fold")["epoch"].agg(list).to_dict() == {"a": [3, 6, 7], "b": [3, 5]}
    assert thinned(curves).equals(curves)


def pool(table: pd.DataFrame, classes: list[str], targets: list[str]) -> Pool:
    return Pool(
        folder=Path(), table=table, validation=None, folds=[], classes=classes, targets=targets, model="", data="",
        protocol="", selection="last", seed=0, synthetic=False,
    )  # fmt: skip


def test_the_most_confident_mistakes_are_shown():
    sure = [0.9, 0.6, 0.8, 0.7, 0.95, 0.55]
    table = pd.DataFrame(
        {"sample_id": list("abcdef"), "fold": "x", "label": list("ppppqq"), "predicted": list("qqpqqp")}
    )
    table["p_p"] = [s if name == "p" else 1 - s for s, name in zip(sure, table["predicted"], strict=True)]
    table["p_q"] = 1 - table["p_p"]
    chosen = choose(pool(table, ["p", "q"], []), 2)
    assert chosen["sample_id"].tolist() == ["c", "a", "d", "e", "f"]
    assert chosen["p_predicted"].tolist() == pytest.approx([0.8, 0.9, 0.7, 0.95, 0.55])
    assert chosen["p_label"].tolist() == pytest.approx([0.8, 0.1, 0.3, 0.95, 0.45])


def test_values_are_shown_by_their_error():
    table = pd.DataFrame({"sample_id": list("abcd"), "fold": "x", "valence": [0.0, 0.5, np.nan, -1.0]})
    table["predicted_valence"] = [0.3, 0.5, 0.0, 1.0]
    chosen = choose(pool(table, [], ["valence"]), 1)
    assert chosen["sample_id"].tolist() == ["b", "d"]
    assert chosen["error"].tolist() == pytest.approx([0.0, 2.0])


def test_a_published_run_can_be_read_from_its_folder_alone():
    """Real predictions on FER2013, as they lie in this repository."""
    folder = HOUSE / "experiments" / "arch1-fer2013" / "inner_val-seed0"
    board: Board = read_board(folder, samples=3, pictures=None)
    scores = json.loads((folder / "scores.json").read_text())
    assert board.folds["accuracy"].tolist() == pytest.approx([scores["accuracy"]])
    assert board.folds["n"].tolist() == [3589]
    assert board.scores["accuracy_low"] == scores["accuracy_ci95"][0]
    assert len(board.samples) == 7 * 6
    assert [file.stem for file in board.figures] == ["confusion_matrix", "learning_curves"]
