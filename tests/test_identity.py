"""A run folder is a function of what can change a result, and of nothing else."""

import pytest

from fer_lightning.identity import run_folder
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


def test_the_folder_says_what_it_holds():
    folder = run_folder(configure(*CELL, "paths.runs=r", "seed=7"))
    assert folder.parts[:-1] == ("r", "megc2019_flow", "ststnet", "loso-last")
    assert folder.name.startswith("seed7-")


def test_a_name_of_the_users_own_is_taken_as_it_is():
    assert str(run_folder(configure(*CELL, "paths.runs=r", "run_name=a/b"))) == "r/a/b"
