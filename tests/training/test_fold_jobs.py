"""One job per fold: each cell of a grid gets as many jobs as its data has folds."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from fer_lightning.data.datamodule import FERDataModule
from fer_lightning.datasets import contract
from fer_lightning.resolvers import register
from fer_lightning.sweep import Grid, choose_grid
from tests.runs import HOUSE


@dataclass
class Planned:
    """What `python train.py <typed> -m` would launch: the jobs as key -> value, the exit code, what was printed."""

    jobs: list[dict[str, str]]
    code: int
    printed: str

    def numbers(self, *keys: str) -> dict[str, list[int]]:
        """Fold numbers of the jobs by what they say of these keys."""
        found = defaultdict(list)
        for job in self.jobs:
            found[" ".join(job[key] for key in keys)].append(int(job["protocol.index"]))
        return dict(found)


class Ear:
    """A launcher that writes down what it is given and stops the sweep as Ctrl-C does, before anything is run."""

    def __init__(self) -> None:
        self.jobs: list[dict[str, str]] = []

    def launch(self, jobs: list, initial_job_idx: int) -> None:
        self.jobs += [dict(text.split("=", 1) for text in job) for job in jobs]
        raise KeyboardInterrupt


@pytest.fixture
def planned(tiny_raw, tmp_path, monkeypatch, capsys) -> Callable[[str], Planned]:
    """Plan the grid of a command line in this process, on the tiny raw folder."""
    monkeypatch.setenv("FER_RAW", str(tiny_raw))
    monkeypatch.setenv("FER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FER_RUNS", str(tmp_path / "runs"))

    def go(typed: str) -> Planned:
        register()
        with initialize_config_dir(str(HOUSE / "conf"), version_base="1.3"):
            loader = GlobalHydra.instance().config_loader()
            arguments = choose_grid([*typed.split(), "-m"])[1:]
            config = loader.load_configuration("config", arguments, RunMode.MULTIRUN)
            grid = Grid(config.hydra.sweeper.get("params"))
            grid.config, grid.launcher = config, Ear()
            grid.hydra_context = SimpleNamespace(config_loader=loader, callbacks=SimpleNamespace(callbacks=[]))
            code = 0
            try:
                grid.sweep(list(config.hydra.overrides.task))
            except SystemExit as stopped:
                code = stopped.code
        return Planned(grid.launcher.jobs, code, capsys.readouterr().err)

    return go


#: Folds of the tiny release: it has three people of each part, nine in all.
THREE, NINE = list(range(3)), list(range(9))
STOPPED, REFUSED = 130, 2


@pytest.mark.parametrize("grid", ["protocol=loso_jobs", "protocol=loso sweep=folds"])
def test_each_data_set_gets_the_jobs_of_its_own_folds_and_is_read_once(planned, grid, monkeypatch):
    built, build = [], FERDataModule.build
    monkeypatch.setattr(FERDataModule, "build", lambda data, *rest: built.append(data.name) or build(data, *rest))
    found = planned(f"model=random_guess data=smic_flow,megc2019_flow data.batch_size=4,8 {grid}")
    assert found.numbers("data", "data.batch_size") == {
        "smic_flow 4": THREE,
        "smic_flow 8": THREE,
        "megc2019_flow 4": NINE,
        "megc2019_flow 8": NINE,
    }
    assert "Sweep of 4 cells: 0 are there already, 0 are refused, 4 to run in 24 jobs." in found.printed
    assert sorted(built) == ["megc2019_flow", "smic_flow"]


def test_fold_jobs_of_real_data_are_as_many_as_its_published_subjects(planned, fer_raw, monkeypatch):
    monkeypatch.setenv("FER_RAW", str(fer_raw))
    if not (fer_raw / "megc2019").is_dir():
        pytest.skip(f"no {fer_raw / 'megc2019'}")
    found = planned("model=ststnet data=casme2_flow,samm_flow,smic_flow,megc2019_flow protocol=loso_jobs")
    people = {name: len(numbers) for name, numbers in found.numbers("data").items()}
    assert people == {"casme2_flow": 24, "samm_flow": 28, "smic_flow": 16, "megc2019_flow": 68}


@pytest.mark.parametrize(
    ("typed", "numbers"),
    [
        ("data=smic_flow protocol=loso_jobs debug=tiny", THREE),
        ("data=smic_flow sweep=folds debug=tiny", THREE),
        ("data=megc2019_flow +data.where={dataset:[samm]} protocol=loso_jobs", THREE),
        ("data=megc2019_flow data.expects=null protocol=loso_jobs", NINE),
        ("data=megc2019_flow protocol=kfold protocol.folds.k=4 sweep=folds", [0, 1, 2, 3]),
        ("data=megc2019_flow protocol=kfold protocol.folds.k=4 protocol.only=[fold1,fold3] sweep=folds", [1, 3]),
        ("data=fer2013 sweep=folds", [0]),
        ("data=dfew debug=tiny data.builder.fold=null protocol=published_folds sweep=folds", [0, 1, 2, 3, 4]),
        ("data=smic_flow protocol=loso_jobs protocol.index=range(1,6)", [1, 2, 3, 4, 5]),
    ],
)
def test_the_jobs_are_those_of_the_folds_that_are_run(planned, tmp_path, typed, numbers):
    found = planned(f"model=random_guess {typed}")
    assert [int(job["protocol.index"]) for job in found.jobs] == numbers, found.printed
    assert found.code == STOPPED
    name = typed.split()[0].removeprefix("data=")
    assert contract.is_synthetic(tmp_path / "runs" / "tiny" / name) == ("debug=tiny" in typed)


def test_each_number_of_folds_of_a_grid_gets_its_jobs(planned):
    found = planned("model=random_guess data=megc2019_flow protocol=kfold protocol.folds.k=2,3 sweep=folds")
    assert found.numbers("protocol.folds.k") == {"2": [0, 1], "3": [0, 1, 2]}


@pytest.mark.parametrize(
    ("sweep", "order"), [("[folds,seeds]", ["00", "01", "10", "11"]), ("[seeds,folds]", ["00", "10", "01", "11"])]
)
def test_jobs_come_in_the_order_of_the_named_grids(planned, sweep, order):
    found = planned(f"model=random_guess data=smic_flow protocol=kfold protocol.folds.k=2 sweep={sweep} seed=0,1")
    assert [job["protocol.index"] + job["seed"] for job in found.jobs] == order


def test_a_refused_cell_gets_no_job_for_any_of_its_folds(planned):
    found = planned("model=ststnet data=smic_flow protocol=loso_jobs optimizer=ranger21 scheduler=none,cosine")
    assert found.numbers("scheduler") == {"none": THREE}
    assert "Sweep of 2 cells: 0 are there already, 1 are refused, 1 to run in 3 jobs." in found.printed


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("data=own_images protocol=loso_jobs", "DatasetNotFoundError: one job per fold: the folds of data=own_images"),
        ("data=own_images sweep=[folds,seeds]", "cannot be counted (where the data is not seen from here, add"),
        ("data=megc2019_flow,fer2013 protocol=loso_jobs", "the folds of data=fer2013 cannot be counted: leave"),
        ("data=fer2013 protocol=loso_jobs", "leave_one_subject_out needs a subject for every sample"),
        ("data=smic_flow data.sampling=most sweep=folds", "data.sampling='most' is not one of"),
        ("data=smic_flow protocol=kfold protocol.only=[fold7] sweep=folds protocol.folds.k=2", "protocol.only names"),
    ],
)
def test_folds_that_cannot_be_counted_are_one_line_before_anything_starts(planned, typed, message):
    found = planned(f"model=random_guess {typed}")
    assert (found.code, found.jobs) == (REFUSED, [])
    [line] = found.printed.splitlines()
    assert message in line


def test_ctrl_c_while_a_grid_is_planned_is_one_line(planned, monkeypatch):
    def stop(config):
        raise KeyboardInterrupt

    monkeypatch.setattr("fer_lightning.planning.check_options", stop)
    found = planned("model=random_guess data=smic_flow seed=0,1")
    assert (found.code, found.jobs) == (STOPPED, [])
    assert found.printed == "stopped while the sweep was planned: nothing of it was started\n"


@pytest.mark.parametrize(("seeds", "said"), [(5, []), (6, ["planning 6 cells"])])
def test_a_plan_that_takes_a_while_says_what_is_done(planned, seeds, said):
    found = planned(f"model=random_guess data=smic_flow seed=range({seeds})")
    assert len(found.jobs) == seeds
    assert [line for line in found.printed.splitlines() if line.startswith("planning")] == said
    assert found.printed.splitlines()[len(said)].startswith(f"Sweep of {seeds} cells")


@pytest.mark.slow
def test_a_cell_that_is_there_needs_no_data_to_be_counted(run_here, planned, tmp_path, monkeypatch):
    cell = ["model=random_guess", "data=smic_flow", "protocol=kfold", "protocol.folds.k=2", "sweep=folds"]
    run_here(*cell)
    monkeypatch.setenv("FER_RAW", str(tmp_path / "gone"))
    same = "optimizer.lr=0.001 data.batch_size=8 trainer.max_epochs=3"
    found = planned(f"{' '.join(cell)} {same}")
    assert (found.code, found.jobs) == (0, []), found.printed
    assert "Sweep of 1 cells: 1 are there already, 0 are refused, 0 to run." in found.printed


@pytest.mark.slow
def test_the_command_runs_and_scores_fold_jobs_on_synthetic_data(start, tmp_path):
    done = start("model=random_guess", "data=smic_flow", "debug=tiny", "protocol=loso_jobs", "-m")
    assert done.returncode == 0, done.stderr
    assert "Sweep of 1 cells: 0 are there already, 0 are refused, 1 to run in 3 jobs." in done.stderr
    assert "sweep: job 3 of 3 scored" in done.stderr
    assert len(list((tmp_path / "runs").glob("*/*/*/*/predictions/*.csv"))) == 3
