"""A run and the one before it as one config."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from fer_lightning import run as run_module
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


#: CASME II in two folds, one epoch.
HALVES = ["data=casme2_flow", "protocol=kfold", "protocol.folds.k=2", "trainer.max_epochs=1"]
ONE = "model: ststnet, trainer.max_epochs: 1"
INNER = ["data=megc2019_flow", "protocol.selection=inner_val"]
KFOLD = f"{ONE}, protocol: kfold, protocol.folds.k: 2"
#: A run before that has trained on what fold0 tests; and one between, on other data, that begins with it.
HALF = f"data: casme2_flow, {KFOLD}, protocol.only: [fold1]"
BETWEEN = f"data: samm_flow, {KFOLD}, protocol.only: [fold0]"
#: Options of a run with one before it -> how it is refused, or None. The composite holds CASME II.
STAGES = {
    "composite": ([f"before={{data: megc2019_flow, {KFOLD}, protocol.only: [fold1]}}", "protocol.only=[fold0]"],
                  "which fold fold0 tests"),
    "the_other_half": ([f"before={{{HALF}}}", "protocol.only=[fold0]"], "which fold fold0 tests"),
    "the_second_fold_of_two": ([f"before={{{HALF.replace('[fold1]', '[fold0]')}}}"], "which fold fold1 tests"),
    "two_before": ([f"before={{{BETWEEN}, before: '{{{HALF}}}'}}", "protocol.only=[fold0]"], "which fold fold0 tests"),
    "other_folds": ([f"before={{{ONE}, ++protocol.folds.k: 3}}"], "which fold fold0 tests"),
    "validation": ([f"before={{{ONE}, protocol.inner_val: 0.2}}", "protocol.inner_val=0.5", *INNER],
                   "by which fold fold0 chooses"),
    "no_such_folds": ([f"before={{data: samm_flow, {KFOLD.replace('k: 2', 'k: 3')}, protocol.only: [fold1, fold2]}}"],
                      "fold0"),
    "same_folds": ([f"before={{{ONE}}}", *INNER], None),
    "other_data": ([f"before={{data: samm_flow, {KFOLD}}}"], None),
    "this_half": ([f"before={{{HALF}}}", "protocol.only=[fold1]"], None),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", STAGES)
def test_what_a_fold_would_refuse_is_refused_before_anything_is_trained(run_here, monkeypatch, tmp_path, name):
    options, refused = STAGES[name]
    if refused is None:
        assert predictions(run_here(*HALVES, *options))
        return
    with pytest.raises((LeakError, ConfigError), match=refused) as early:
        run_here(*HALVES, *options)
    assert not (tmp_path / "runs").exists(), "nothing was trained, nothing was claimed"
    monkeypatch.setattr(run_module, "check_before", lambda *arguments: None)
    with pytest.raises((LeakError, ConfigError), match=refused) as late:
        run_here(*HALVES, *options)
    assert list(tmp_path.glob("runs/*/*/*/*/weights/*.safetensors")), "what came before was trained"
    assert type(early.value) is type(late.value)


@pytest.mark.slow
def test_of_a_stage_that_is_done_nothing_is_asked_that_came_before_it(run_here, tiny_raw, tmp_path):
    elsewhere = tmp_path / "megc2019"
    shutil.copytree(tiny_raw / "megc2019", elsewhere)
    options = [f"before={{{BETWEEN}, before: '{{{HALF}, data.root: {elsewhere}}}'}}", "protocol.only=[fold1]"]
    run_here(*HALVES, *options)
    shutil.rmtree(elsewhere)
    assert list(predictions(run_here(*HALVES, *options, "seed=0", "optimizer.lr=0.002"))) == ["fold1.csv"]


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
