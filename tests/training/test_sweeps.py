"""Sweeps: grids that combine, cells that are refused, killed or done, and the table at the end."""

import io
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest
import pytorch_lightning as pl
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from fer_lightning.compose import options
from fer_lightning.errors import ConfigError
from fer_lightning.reporting.grid import print_grid, write_grid
from fer_lightning.resolvers import register
from fer_lightning.sweep import choose_grid
from fer_lightning.sweep_cells import Cell, Progress, settle
from tests.runs import HOUSE, SMALL, command, configure


def params(*overrides: str) -> dict[str, str]:
    register()
    with initialize_config_dir(str(HOUSE / "conf"), version_base="1.3"):
        return dict(compose("config", list(overrides), return_hydra_config=True).hydra.sweeper.params or {})


@pytest.mark.parametrize("model", ["model=waspp data=casme2", "model=resnet18 data=fer2013"])
def test_several_grids_make_their_product(model):
    assert params(*model.split(), "sweep=[placement,optimizers,seeds]") == {
        "model.position": "conv1,conv2",
        "model.branches": "2,3,4,5",
        "optimizer": "glob(*)",
        "seed": "range(5)",
    }
    assert params(*model.split(), "sweep=schedulers") == {"scheduler": "glob(*)"}


@pytest.mark.parametrize("name", options("sweep"))
def test_every_grid_is_one_that_hydra_can_read(name):
    found = params("model=waspp", "data=casme2", f"sweep={name}")
    overrides = OverridesParser.create().parse_overrides([f"{key}={value}" for key, value in found.items()])
    assert all(override.is_sweep_override() for override in overrides)
    assert bool(found) == (name != "none")


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("model=waspp sweep=seeds", "with -m"),
        ("model=waspp sweep=seeds,optimizers -m", r"sweep=\[a,b\] runs their product"),
    ],
)
def test_a_sweep_that_would_not_be_run_is_refused(typed, message):
    with pytest.raises(ConfigError, match=message):
        choose_grid(typed.split())


@pytest.mark.parametrize("typed", ["sweep=none model=waspp", "model=waspp sweep=seeds --cfg job"])
def test_a_sweep_may_be_named_where_nothing_is_run(typed):
    assert choose_grid(typed.split()) == typed.split()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("seed=range(0,0)", "ConfigError: nothing is swept: seed=range(0,0) has no values"),
        ("data=own_images protocol=loso_jobs", "add protocol.index=range(0,<number of folds>)"),
    ],
)
def test_a_grid_without_cells_says_so(start, typed, message):
    done = start("model=arch1", *typed.split(), "-m")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert message in done.stderr


@pytest.mark.slow
def test_fold_jobs_that_are_counted_on_the_command_line_are_run(start):
    done = start("model=arch1", "data=own_images", "protocol=loso_jobs", "protocol.index=range(0,2)", "-m")
    assert "Traceback" not in done.stderr
    assert "Sweep of 1 cells: 0 are there already, 0 are refused, 1 to run in 2 jobs." in done.stderr


#: Two cells that are scored and two that are refused: ranger21 brings its own scheduler.
GRID = [
    *SMALL, "protocol=kfold", "protocol.folds.k=2", "protocol.selection=inner_val", "protocol.inner_val=0.3", "-m",
    "optimizer=ranger21", "scheduler=none,cosine", "sweep=seeds", "seed=0,1", "trainer.max_epochs=1",
]  # fmt: skip


def files(runs: Path) -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for file in runs.glob("*/*/*/*/predictions/*.csv")}


@pytest.mark.slow
def test_a_killed_sweep_goes_on_and_tells_what_became_of_every_cell(start, environment, tmp_path):
    runs = tmp_path / "runs"
    killed = subprocess.Popen(
        command(*GRID), cwd=HOUSE, env=environment, start_new_session=True, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while not list(runs.glob("*/*/*/*/scores.json")) and killed.poll() is None:
        time.sleep(0.01)
    os.killpg(killed.pid, signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    before = files(runs)
    done = start(*GRID)
    assert done.returncode == 0, done.stderr
    after = files(runs)
    assert {file: after[file] for file in before} == before, "what was finished was run again"
    assert len(after) == 4
    head = "Sweep of 4 cells: 1 are there already, 2 are refused, 1 to run."
    assert head in done.stderr
    refusal = "refused: seed=0 scheduler=cosine: optimizer=ranger21 brings its own warm-up"
    assert done.stderr.index(refusal) < done.stderr.index("run folder:"), "said before anything is trained"
    assert "sweep: job 1 of 1 scored" in done.stderr
    [file] = (runs / "sweeps").glob("*.csv")
    assert str(file) in done.stdout
    cells = pd.read_csv(file)
    assert cells["state"].value_counts().to_dict() == {"refused": 2, "done": 1, "there": 1}
    scored = cells.dropna(subset="uf1")
    assert scored["rank"].tolist() == scored["uf1"].rank(ascending=False, method="min").tolist()
    for _, cell in scored.iterrows():
        scores = json.loads((Path(cell["folder"]) / "scores.json").read_text())
        assert [cell["uf1"], cell["uf1_low"], cell["uf1_high"]] == pytest.approx([scores["uf1"], *scores["uf1_ci95"]])
        assert scores["seed"] == cell["seed"]
        assert 0 <= cell["validation"] <= 1
    seeds = pd.DataFrame(json.loads(file.with_suffix(".json").read_text())["over_seeds"])
    [(_, row)] = seeds.iterrows()
    spread = scored["uf1"].max() - scored["uf1"].min()
    assert (row["mean"], row["sd"], row["seeds"]) == pytest.approx((scored["uf1"].mean(), spread / 2**0.5, 2))
    assert "to take the first row is to choose on the test set" in done.stdout


@pytest.mark.slow
def test_a_failed_cell_is_in_the_table_and_fold_jobs_are_one_cell(start, tmp_path):
    done = start(*SMALL[:3], "protocol=kfold", "protocol.folds.k=2", "optimizer.lr=0.001,1e30", "sweep=folds", "-m",
                 "trainer.max_epochs=2")  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "Sweep of 2 cells: 0 are there already, 0 are refused, 2 to run in 4 jobs." in done.stderr
    [file] = (tmp_path / "runs" / "sweeps").glob("*.csv")
    cells = pd.read_csv(file, dtype=str).set_index("optimizer.lr")
    assert cells["state"].to_dict() == {"0.001": "done", "1e+30": "failed"}
    assert "training has diverged" in cells.loc["1e+30", "reason"]
    assert "training has diverged" in done.stdout


def cell(runs: Path, name: str, data: str, uf1: float, honest: float | None = None, **more) -> dict:
    """A run folder with the scores that a table reads."""
    folder = runs / data / name
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(f"data: {{name: {data}}}\n")
    scores = {"seed": 0, "selection": "last", "samples": 9, "folds": 1, "uf1": uf1, "uf1_ci95": [0.1, 0.9], "uar": 0.5,
              "accuracy": 0.5, "honest": None, "seconds": 1.0, "synthetic": False}  # fmt: skip
    if honest is not None:
        scores |= {"selection": "oracle_test", "honest": {"uf1": honest, "uf1_ci95": [0.2, 0.6]}}
    (folder / "scores.json").write_text(json.dumps(scores))
    return {"state": "done", "reason": "", "folder": folder, "metric": "val_uf1", "name": name} | more


def test_an_oracle_is_ranked_by_its_last_epoch_and_data_sets_apart(tmp_path):
    rows = [
        cell(tmp_path, "honest", "casme2", 0.5),
        cell(tmp_path, "oracle", "casme2", 0.8, honest=0.4),
        cell(tmp_path, "other", "samm", 0.3),
    ]
    cells, seeds, file = write_grid(rows, ["name"], tmp_path / "sweeps")
    found = cells.set_index("name")
    assert found["rank"].to_dict() == {"honest": 1, "oracle": 2, "other": 1}
    assert found.loc["oracle", ["uf1", "uf1_low", "uf1_high", "oracle"]].tolist() == [0.4, 0.2, 0.6, 0.8]
    assert pd.isna(found.loc["honest", "oracle"])
    assert seeds.empty
    assert write_grid(rows[::-1], ["name"], tmp_path / "sweeps")[2] == file, "the name is that of the grid"
    console = Console(width=160, file=io.StringIO())
    print_grid(cells, seeds, file, console)
    text = console.file.getvalue()
    assert "0.400 (0.200-0.600)" in text
    assert "oracle †" in text
    assert "epoch chosen on the test samples" in text


def test_means_over_seeds_by_hand(tmp_path):
    values = {("a", 0): 0.2, ("a", 1): 0.4, ("a", 2): 0.6, ("b", 0): 0.7}
    rows = [cell(tmp_path, f"{n}{s}", "casme2", v, optimizer=n, seed=str(s)) for (n, s), v in values.items()]
    _, seeds, _ = write_grid(rows, ["optimizer", "seed"], tmp_path / "sweeps")
    assert seeds[["optimizer", "mean", "seeds"]].values.tolist() == [["b", 0.7, 1], ["a", pytest.approx(0.4), 3]]
    assert seeds["sd"].tolist() == [pytest.approx(float("nan"), nan_ok=True), pytest.approx(0.2)]


def test_a_sweep_without_a_scored_cell_has_a_table_too(tmp_path):
    row = {"lr": "1", "state": "failed", "reason": "ConfigError: no", "folder": tmp_path / "x", "metric": "val_uf1"}
    cells, seeds, file = write_grid([row], ["lr"], tmp_path / "sweeps")
    assert file.is_file()
    assert cells["state"].tolist() == ["failed"]
    console = Console(width=160, file=io.StringIO())
    print_grid(cells, seeds, file, console)
    assert "failed: lr=1: ConfigError: no" in console.file.getvalue()


def test_a_note_names_the_cells_that_failed_or_were_refused(tmp_path):
    found = [(str(lr), "0", "failed", "no") for lr in range(5)]
    found += [("1", "1", "refused", "no"), ("2", "1", "failed", "other")]
    more = {"folder": tmp_path / "x", "metric": "val_uf1"}
    rows = [dict(zip(("lr", "seed", "state", "reason"), values, strict=True)) | more for values in found]
    console = Console(width=160, file=io.StringIO())
    print_grid(*write_grid(rows, ["lr", "seed"], tmp_path / "sweeps"), console)
    assert [line for line in console.file.getvalue().splitlines() if ": " in line] == [
        "failed: lr=0 seed=0, lr=1 seed=0, lr=2 seed=0 and 2 more: no",
        "refused: lr=1 seed=1: no",
        "failed: lr=2 seed=1: other",
    ]


def ended(number: int, value: object, status: JobStatus = JobStatus.COMPLETED) -> tuple[DictConfig, JobReturn]:
    """What a callback is told at the end of a job."""
    return OmegaConf.create({"hydra": {"job": {"num": number}}}), JobReturn(_return_value=value, status=status)


def test_a_job_that_failed_before_the_sweep_was_stopped_is_failed(tmp_path):
    cells = [Cell({}, configure(*SMALL), tmp_path / str(number), jobs=[number]) for number in range(3)]
    progress = Progress(3, time.time())
    progress.on_job_end(*ended(0, 0.5))
    progress.on_job_end(*ended(1, ConfigError("training has diverged"), JobStatus.FAILED))
    settle(cells, [], progress.failed)
    assert [cell.state for cell in cells] == ["open", "failed", "open"]
    assert cells[1].reason == "ConfigError: training has diverged"


@pytest.mark.slow
def test_the_table_of_a_stopped_sweep_says_what_failed(start, tmp_path):
    # the second cell fails, the third stops the sweep as Ctrl-C does
    done = start(*SMALL[:3], "protocol=kfold", "protocol.folds.k=2", "optimizer.lr=0.001,1e30,0.002", "-m",
                 "trainer.max_epochs=2", f"+callbacks.stop._target_={__name__}.StopsTheLast")  # fmt: skip
    assert done.returncode == 130
    assert "Traceback" not in done.stderr
    [file] = (tmp_path / "runs" / "sweeps").glob("*.csv")
    cells = pd.read_csv(file, dtype=str).set_index("optimizer.lr")
    assert cells["state"].to_dict() == {"0.001": "done", "1e+30": "failed", "0.002": "open"}
    assert "failed: optimizer.lr=1e+30: ConfigError: the training loss is" in done.stdout


class StopsTheLast(pl.Callback):
    """Ctrl-C in the cell with the rate 0.002."""

    def on_train_start(self, trainer, task) -> None:
        if trainer.optimizers[0].param_groups[0]["lr"] == 0.002:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_the_command_scores_a_run_of_which_no_job_saw_the_end(run_here, capsys):
    # as on a network file system, where the last job does not see the files of the others yet
    out = run_here("protocol=kfold", "protocol.folds.k=2", "trainer.max_epochs=1")
    scores = (out / "scores.json").read_bytes()
    (out / "scores.json").unlink()
    ended = [JobReturn(status=JobStatus.COMPLETED) for _ in range(2)]
    cell = Cell({}, configure(*SMALL), out, jobs=[0, 1])
    settle([cell], ended[:1])
    assert (cell.state, (out / "scores.json").exists()) == ("open", False), "a job has not ended yet"
    settle([cell], ended)
    assert (cell.state, (out / "scores.json").read_bytes()) == ("done", scores)
    (out / "scores.json").unlink()
    next((out / "predictions").glob("*.csv")).unlink()
    cell.state = "open"
    settle([cell], ended)
    assert cell.state == "open"
    assert "has no scores yet" in capsys.readouterr().err
