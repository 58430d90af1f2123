"""A run folder is a function of what can change a result, and of nothing else."""

import pytest

from fer_lightning.identity import identity, resolved, run_folder
from tests.runs import configure

CELL = ["model=ststnet", "data=megc2019_flow"]


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
