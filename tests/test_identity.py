"""A run folder is a function of what can change a result, and of nothing else."""

import pytest
from omegaconf import OmegaConf

from fer_lightning.errors import ConfigError
from fer_lightning.identity import claim, identity, resolved, run_folder, saved
from fer_lightning.sweep_cells import Cell, is_done
from tests.runs import SMALL, configure

CELL = ["model=ststnet", "data=megc2019_flow"]
#: What a config.yaml may hold and be no config of a run.
BROKEN = {
    "empty": b"", "list": b"[1]", "number": b"3", "open": b"seed: [", "tab": b"seed: 0\n\tname: x\n",
    "picture": b"\x00\x89PNG\xff", "deep": b"[" * 5000, "itself": b"a: &a [*a]\n",
    "twice": b"seed: 0\nseed: 0\n", "null_key": b"? null\n: 3\n", "class": b"a: !!python/object:os.system {}\n",
    "reference": b"seed: ${oops\n",
}  # fmt: skip


@pytest.mark.parametrize(
    "override",
    [
        "paths.raw=/elsewhere", "paths.cache=/elsewhere", "protocol.workers=4", "protocol.index=3",
        "protocol.only=[smic-s01]", "logger=tensorboard", "trainer.accelerator=gpu", "trainer.checkpoint_every=5",
        "trainer.checkpoint_minutes=1", "data.num_workers=3", "table=waspp-t10", "row=dspp",
        "budget={cpu: {trainer.max_epochs: 1}}",
        "ensemble={members: [a, b]}",
    ],
)  # fmt: skip
def test_where_and_how_fast_does_not_make_another_run(override):
    assert run_folder(configure(*CELL, override)) == run_folder(configure(*CELL))


@pytest.mark.parametrize(
    "override",
    [
        "seed=1", "optimizer.lr=0.1", "optimizer=radam", "scheduler=cosine", "trainer.max_epochs=3",
        "protocol.selection=oracle_test", "protocol=kfold", "data.batch_size=8", "data=smic_flow", "model.padding=1",
        "debug=tiny", "data.recipe.interpolation=area", "loss.label_smoothing=0.1",
    ],
)  # fmt: skip
def test_what_can_change_a_result_makes_another_run(override):
    assert run_folder(configure(*CELL, override)) != run_folder(configure(*CELL))


@pytest.mark.parametrize("sweep", ["none", "seeds", "[placement,seeds]"])
@pytest.mark.parametrize("model", ["ststnet", "waspp"])  # the second brings a grid of its own
def test_a_cell_of_a_sweep_is_the_run_of_a_single_command(model, sweep):
    alone, cell = configure(f"model={model}", CELL[1]), configure(f"model={model}", CELL[1], f"sweep={sweep}")
    assert run_folder(cell) == run_folder(alone)
    assert identity(resolved(cell)) == identity(resolved(alone)), "a run of the one would not be gone on with"


@pytest.mark.parametrize("model", ["ststnet", "daspp", "dspp", "waspp", "wspp"])
def test_what_is_hashed_of_a_single_command_has_the_sweep_that_committed_folders_are_named_after(model):
    config = resolved(configure(f"model={model}", CELL[1]))
    found = identity(config)
    assert {key: found[key] for key in found if key.startswith("sweep")} == {
        key: config[key] for key in config if key == "sweep"
    }


def test_the_folder_says_what_it_holds():
    folder = run_folder(configure(*CELL, "paths.runs=r", "seed=7"))
    assert folder.parts[:-1] == ("r", "megc2019_flow", "ststnet", "loso-last")
    assert folder.name.startswith("seed7-")


def test_a_name_of_the_users_own_is_taken_as_it_is():
    assert str(run_folder(configure(*CELL, "paths.runs=r", "run_name=a/b"))) == "r/a/b"


def test_a_name_that_yaml_takes_for_a_number_names_a_folder_too():
    assert str(run_folder(configure(*CELL, "paths.runs=r", "run_name=7"))) == "r/7"
    folder = run_folder(configure(*CELL, "paths.runs=r", "data.name=2019", "model_name=3"))
    assert folder.parts[:3] == ("r", "2019", "3")


@pytest.mark.parametrize("kind", BROKEN)
def test_a_folder_whose_config_cannot_be_read_is_not_gone_on_with(kind, tmp_path):
    cfg = configure(*CELL)
    claim(tmp_path, cfg)
    assert identity(saved(tmp_path)) == identity(resolved(cfg))
    claim(tmp_path, cfg)
    (tmp_path / "config.yaml").write_bytes(BROKEN[kind])
    with pytest.raises(ConfigError) as refused:
        claim(tmp_path, cfg)
    said = str(refused.value)
    assert said.startswith(f"{tmp_path / 'config.yaml'}: expected the config of a run, ")
    assert "remove the file and run the same command again, finished folds are kept" in said
    assert "\n" not in said
    assert (tmp_path / "config.yaml").read_bytes() == BROKEN[kind]


def test_the_command_names_a_broken_config_and_leaves_the_folds_alone(start, tmp_path):
    overrides = [text for text in SMALL if text != "debug=tiny"]
    folder = tmp_path / "runs" / "mine"
    (folder / "predictions").mkdir(parents=True)
    (folder / "predictions" / "smic-s01.csv").write_text("hours of work")
    (folder / "config.yaml").write_text("seed: [")
    done = start(*overrides, "run_name=mine", "trainer.max_epochs=1")
    assert done.returncode == 2, done.stderr[-2000:]
    said = [line for line in done.stderr.splitlines() if line]
    assert said[-1].startswith(f"ConfigError: {folder / 'config.yaml'}: expected the config of a run, ")
    assert "Traceback" not in done.stderr
    assert {file.name: file.read_text() for file in folder.rglob("*") if file.is_file()} == {
        "config.yaml": "seed: [", "smic-s01.csv": "hours of work",
    }  # fmt: skip


def test_a_finished_cell_with_a_broken_config_is_named(tmp_path):
    """A sweep that looks what is there ended in a traceback of the YAML reader."""
    (tmp_path / "scores.json").write_text('{"folds": 1}')
    (tmp_path / "config.yaml").write_text("model: [")
    with pytest.raises(ConfigError, match=r"config\.yaml: expected the config of a run"):
        is_done(Cell({}, OmegaConf.create({}), tmp_path))
