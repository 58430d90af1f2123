"""Commands refuse what they cannot do with a message and exit code 2, and at once: before torch is imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fer_lightning import batch_size, demo, inspect, prepare, tune, verify
from fer_lightning.dashboards.__main__ import main as dashboards
from fer_lightning.datasets import fer2013
from fer_lightning.errors import StorageError
from tests.runs import HOUSE, NO_TORCH

AT_ONCE = f"""{NO_TORCH}
import runpy
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
CELL = ["data=megc2019_flow", "model=ststnet", "debug=tiny", "protocol.selection=inner_val", "tune=learning_rate"]


@pytest.mark.parametrize("name", ["verify", "inspect", "prepare", "batch_size"])
def test_help_needs_no_torch(name):
    command = [sys.executable, "-c", AT_ONCE, f"fer_lightning.{name}", "--help"]
    done = subprocess.run(command, cwd=HOUSE, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"python -m fer_lightning.{name}" in done.stdout


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        (prepare, ["--workers", "-3"]),
        (prepare, ["--workers", "0"]),
        (inspect, ["--samples", "-1"]),
        (inspect, ["--samples", "0"]),
        (inspect, ["--seed", "-1"]),
        (verify, ["--near", "5"]),
        (verify, ["--near", "-0.5"]),
        (verify, ["--near", "nan"]),
        (batch_size, ["--limit", "0"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value.__name__.rpartition(".")[2],
)
def test_numbers_out_of_range_are_refused(command, arguments, capsys):
    assert command.main(["data=fer2013", *arguments]) == 2
    assert f"ConfigError: {arguments[0]} {float(arguments[1]):g}: expected" in capsys.readouterr().err


def test_a_report_that_cannot_be_written_is_still_printed(tmp_path, capsys):
    fer2013.write_tiny(tmp_path / "raw" / "fer2013")
    (tmp_path / "file").touch()
    places = [f"paths.raw={tmp_path / 'raw'}", f"paths.runs={tmp_path / 'runs'}"]
    report = tmp_path / "file" / "report.json"
    assert verify.main(["data=fer2013", *places, "--near", "0", "--json", str(report)]) == 2
    said = capsys.readouterr()
    assert "140 samples" in said.out
    assert f"StorageError: {report} could not be written" in said.err


def test_a_study_that_has_no_place_is_refused(tmp_path, capsys):
    pytest.importorskip("optuna")
    (tmp_path / "file").touch()
    assert tune.main([*CELL, f"paths.runs={tmp_path / 'file'}"]) == 2
    assert f"StorageError: {tmp_path / 'file' / 'tune'}" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["foo://me:secret@x", "no url", "sqlite:////nosuch/folder/study.db"])
def test_a_data_base_that_cannot_be_opened_is_named_without_its_password(url, capsys):
    pytest.importorskip("optuna")
    assert tune.main(["--show", "s", "--storage", url]) == 2
    said = capsys.readouterr().err
    assert f"StorageError: {url.replace('me:secret', '***')}: the data base of the study cannot be opened" in said
    assert "secret" not in said


@pytest.mark.parametrize("name", ["file", "disk"])
def test_a_demo_that_cannot_be_written_is_refused(name, tmp_path, capsys, monkeypatch):
    (tmp_path / "file").touch()

    def full(folder: Path) -> None:
        raise OSError(28, os.strerror(28))

    if name == "disk":
        monkeypatch.setattr(demo, "write_tiny", full)
    assert demo.main(["--folder", str(tmp_path / name)]) == 2
    assert f"{StorageError.__name__}: {tmp_path / name / 'raw'} could not be written" in capsys.readouterr().err


def test_a_dashboard_of_no_run_is_refused(tmp_path, capsys):
    pytest.importorskip("tensorboard")
    assert dashboards([str(tmp_path / "nope"), "--logger", "tensorboard"]) == 2
    assert f"error: {tmp_path / 'nope' / 'config.yaml'}: not found" in capsys.readouterr().err
    assert not (tmp_path / "nope").exists()
