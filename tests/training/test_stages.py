"""A run and the one before it as one config."""

import json

import pytest
import torch
from safetensors.torch import load_file

from fer_lightning.errors import ConfigError, LeakError
from fer_lightning.identity import run_folder
from fer_lightning.protocols.weights import fingerprint
from fer_lightning.stages import earlier
from tests.runs import SMALL, configure, predictions

FIRST = "before={model: ststnet, trainer.max_epochs: 2}"
LOSO = ["protocol.only=[samm-006,samm-007]", "protocol.workers=2"]


def test_the_stage_before_has_the_data_and_folds_of_this_one_and_the_settings_of_its_own_model():
    cfg = configure(
        "model=vggspinalnet", "data=fer2013", "before={model: vggnet, trainer.max_epochs: 7, protocol.threads: 3}",
        "seed=5", "protocol.selection=last", "data.root=/elsewhere", "protocol.workers=2",
    )  # fmt: skip
    first = earlier(cfg)
    assert (first.model_name, first.seed, first.data.root) == ("vggnet", 5, "/elsewhere")
    assert (first.protocol.selection, first.protocol.workers, first.protocol.threads) == ("last", 2, 3)
    assert (first.trainer.max_epochs, cfg.trainer.max_epochs) == (7, 200)
    assert (first.optimizer.lr, cfg.optimizer.lr) == (0.01, 0.001)
    assert first.trainer.save_weights
    assert earlier(first) is None
    cam = earlier(configure("model=arch1", "data=fer2013", "before={model: camnet}"))
    assert cam.data.recipe.size == 224, "the arrays are those that the stage's own network reads"


def test_the_stage_before_may_have_other_data_which_brings_its_folds():
    cfg = configure(*SMALL, "before={model: arch1, data: fer2013, protocol.workers: 2}", "protocol.only=[samm-006]")
    first = earlier(cfg)
    assert (first.data.name, first.data.kind, first.protocol.name) == ("fer2013", "face", "holdout")
    assert (first.protocol.workers, first.protocol.only) == (2, None)
    assert first.data.root == f"{cfg.paths.runs}/tiny/fer2013", "debug=tiny must not write into the real data"
    same = earlier(configure(*SMALL, "before={data: casme2_flow, protocol: kfold, protocol.folds.k: 3, seed: 4}"))
    assert (same.data.name, same.protocol.name, same.protocol.folds.k, same.seed) == ("casme2_flow", "kfold", 3, 4)


def test_no_group_or_key_of_the_stage_before_is_ignored():
    cfg = configure("model=ststnet", "data=megc2019_flow",
                    "before={trainer: ddp, ++paths.runs: /x, ++data.batch_size: 6}")  # fmt: skip
    first = earlier(cfg)
    assert (first.trainer.num_nodes, first.trainer.devices) == (1, "auto")
    assert (first.paths.runs, first.data.batch_size, cfg.data.batch_size) == ("/x", 6, 256)
    with pytest.raises(ConfigError, match=r"before names protocol.* and not data.*protocol\.metric"):
        earlier(configure(*SMALL, "before={protocol: kfold}"))


@pytest.mark.slow
def test_other_data_before_are_trained_on_first_and_remembered(run_here):
    first = "before={data: megc2019_flow, model: ststnet, trainer.max_epochs: 1, protocol: kfold, protocol.folds.k: 2}"
    kfold = [
        "data=casme2_flow",
        "protocol=kfold",
        "protocol.folds.k=2",
        "protocol.only=[fold0]",
        "trainer.max_epochs=1",
    ]
    with pytest.raises(LeakError, match="which fold fold0 tests"):  # the composite holds CASME II
        run_here(*kfold, first.replace("}", ", protocol.only: [fold1]}"))


@pytest.mark.slow
def test_each_fold_starts_from_the_same_fold_of_the_run_before(run_here, capsys):
    out = run_here("model=ststnet", FIRST, "parts.freeze=[streams]", "protocol.only=[samm-006]")
    assert "before it: model=ststnet trainer.max_epochs=2" in capsys.readouterr().err
    [kept] = out.parent.glob("*/weights/samm-006.safetensors")
    facts = json.loads((out / "predictions/samm-006.json").read_text())
    assert facts["weights"] == fingerprint(kept)
    made = kept.stat().st_mtime_ns
    again = run_here("model=ststnet", FIRST, "parts.freeze=[streams]", "protocol.only=[samm-006]")
    assert again == out
    assert kept.stat().st_mtime_ns == made


@pytest.mark.slow
def test_a_frozen_part_keeps_the_weights_of_the_run_before_also_in_processes(run_here):
    out = run_here("model=ststnet", FIRST, "parts.freeze=[streams]", "trainer.save_weights=true", *LOSO)
    assert len(predictions(out)) == 2
    [first] = [folder for folder in out.parent.iterdir() if folder != out]
    for fold in ("samm-006", "samm-007"):
        before, after = (load_file(folder / "weights" / f"{fold}.safetensors") for folder in (first, out))
        same = [name for name in before if torch.equal(before[name], after[name])]
        assert {name for name in before if name.startswith("streams")} <= set(same) < set(before)


def test_what_does_not_compose_or_says_it_twice_is_refused():
    with pytest.raises(ConfigError, match="no_such"):
        earlier(configure(*SMALL, "before={model: no_such}"))
    with pytest.raises(ConfigError, match=r"before and model\.weights both say"):
        earlier(configure(*SMALL, "before={model: ststnet}", "model.weights=x"))


def test_the_folder_of_a_run_knows_what_came_before():
    folders = {run_folder(configure(*SMALL, *more)) for more in ([], ["before={model: ststnet}"], [FIRST])}
    assert len(folders) == 3
