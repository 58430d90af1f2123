"""A key that nothing reads is refused with the ones that may have been meant; what the documents show is not."""

import subprocess
from pathlib import Path

import pytest
import yaml

from fer_lightning.errors import ConfigError
from fer_lightning.settings import READ, _conf_references, _leaves, _quotes, check_keys
from tests.runs import HOUSE, SMALL, command, configure

CLIPS = ["model=gru_face", "data=dfew", "debug=tiny"]
WITH_KEYS = (
    "augment",
    "launcher",
    "logger",
    "mix",
    "paths",
    "protocol",
    "scheduler",
    "views",
    "callbacks",
    "optimizer",
)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("+foo=1", "foo: nothing reads this key. There are augment, before, "),
        ("++foo={a: 1}", "foo: nothing reads this key"),
        ("+modle=ststnet", "modle: nothing reads this key. Did you mean model.module or model?"),
        ("+epochs=5", "epochs: nothing reads this key. Did you mean trainer.max_epochs"),
        ("+lr=0.1", "lr: nothing reads this key. Did you mean optimizer.lr?"),
        ("+batch_size=4", "batch_size: nothing reads this key. Did you mean data.batch_size?"),
        ("+views.copies=4", "views: nothing reads this key"),
        ("+protocol.inner_vall=0.1", "protocol.inner_vall: nothing reads this key. Did you mean protocol.inner_val?"),
        ("+protocol.folds.foo=1", "protocol.folds.foo: nothing reads this key"),
        ("+scheduler.foo=1", "scheduler.foo: nothing reads this key. There are scheduler.scheduler, "),
        ("+paths.cash=/tmp", "paths.cash: nothing reads this key. Did you mean paths.cache?"),
        ("+needs.chanels=[u]", "needs.chanels: nothing reads this key. Did you mean needs.channels"),
        ("+logger.foo=1", "logger.foo: nothing reads this key. logger has none"),
        ("+launcher.foo=1", "launcher.foo=1: nothing reads this key. There are launcher.account, "),
        ("+paper.max_epoch=1", "paper.max_epoch=1: nothing reads this key. Did you mean paper.max_epochs"),
        ("+paper.lr.sgdd=0.1", "paper.lr.sgdd=0.1: nothing reads this key. Did you mean paper.lr.sgd"),
        ("+optimizer.beta=[0.9,0.99]", "optimizer.beta: nothing reads this key. Did you mean optimizer.betas?"),
        (
            "+trainer.epochs=3",
            "trainer.epochs: nothing reads this key. Did you mean trainer.m",
        ),
        (
            "+trainer.gradient_clip=1",
            "trainer.gradient_clip: nothing reads this key. Did you mean trainer.gradient_clip",
        ),
        ("+model.widths=2", "model.widths: nothing reads this key"),
        ("+data.foo=1", "data.foo: nothing reads this key"),
        ("+data.builder.foo=1", "data.builder.foo: nothing reads this key"),
        ("+data.recipe.sise=1", "data.recipe.sise: nothing reads this key. Did you mean data.recipe.size"),
        ("+loss.smoothing=0.1", "loss.smoothing: nothing reads this key. Did you mean loss.label_smoothing?"),
        ("+parts.freezes=[a]", "parts.freezes: nothing reads this key. Did you mean parts.freeze?"),
        ("+augment.foo=1", "augment.foo: nothing reads this key. There are augment.transform, augment.evaluate"),
        ("+callbacks.foo=1", "callbacks.foo: expected a node with _target_, the class to make, found 1"),
        ("+callbacks.foo.bar=1", "callbacks.foo: expected a node with _target_"),
        ("optimizer._target_=torch.optim.Adm", "optimizer._target_=torch.optim.Adm: expected a class or function"),
    ],
)
def test_a_key_that_nothing_reads_is_named_with_what_may_have_been_meant(override, said):
    with pytest.raises(ConfigError) as refused:
        check_keys(configure(*SMALL, override))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_key_of_a_group_that_was_chosen_is_looked_at_too():
    with pytest.raises(ConfigError, match=r"scheduler\.scheduler\.gama: .* Did you mean scheduler\.scheduler\.gamma\?"):
        check_keys(configure(*SMALL, "scheduler=step", "+scheduler.scheduler.gama=1"))
    with pytest.raises(ConfigError, match=r"callbacks\.ema\.dekay: .* Did you mean callbacks\.ema\.decay\?"):
        check_keys(configure(*SMALL, "callbacks=ema", "+callbacks.ema.dekay=1"))
    with pytest.raises(ConfigError, match=r"augment\.transform\.steps\.0\.rotates: .* Did you mean augment\.tr"):
        check_keys(configure(*SMALL, "augment=micro_flow", "+augment.transform.steps.0.rotates=[1,2]"))
    with pytest.raises(ConfigError, match=r"mix\.alfa: .* Did you mean mix\.alpha\?"):
        check_keys(configure("model=arch1", "data=fer2013", "mix=mixup", "+mix.alfa=1"))


@pytest.mark.parametrize(
    "overrides",
    [
        ["+parts.lr_factor.features=.1", "+parts.weight_decay.head=0", "+parts.dropout.head=.2"],
        ["scheduler=plateau", "+scheduler.scheduler.threshold=1e9", "+scheduler.scheduler.threshold_mode=abs"],
        ["+callbacks.mine._target_=tests.cluster.epochs.WriteEpochs"],
        ["+data.where.subject=[s01]", "+data.relabel.Angry=angry", "++data.expects.samples=3"],
        ["+paper.lr.sgd=0.001", "+paper.lr.radam=0.003", "+paper.weight_decay=0.1", "+paper.momentum=0.8"],
        ["before={model: ststnet, trainer.max_epochs: 1, +foo: 1}"],
        ["++before={before: {model: ststnet}, model: ststnet}"],
        ["+optimizer.amsgrad=true", "+trainer.num_nodes=2", "+trainer.sync_batchnorm=false"],
        ["+mine=28", "data.recipe.size=${mine}"],
        ["logger=tensorboard"],
        ["logger=wandb"],
    ],
    ids=" ".join,
)
def test_what_is_meant_passes(overrides):
    check_keys(configure(*SMALL, *overrides))


@pytest.mark.parametrize("group", WITH_KEYS)
def test_every_option_has_keys_that_are_read(group):
    for file in sorted((HOUSE / "conf" / group).glob("*.yaml")):
        if "override /hydra/launcher" in file.read_text():
            continue  # needs its plugin
        cell = CLIPS if file.stem.startswith("body_gesture") else ["model=arch1", "data=fer2013"]
        check_keys(configure(*cell, f"{group}={file.stem}"))


@pytest.mark.parametrize("file", sorted((HOUSE / "conf/model").glob("*.yaml")), ids=lambda file: file.stem)
def test_a_paper_and_the_needs_of_a_model_say_what_is_read(file):
    content = yaml.safe_load(file.read_text())
    assert set(content.get("needs", {})) <= set(READ["needs"])
    papers = [path for path, _ in _leaves({"paper": content.get("paper", {})})]
    assert [path for path in papers if not _quotes(_conf_references(), path)] == []


@pytest.mark.slow
def test_the_command_ends_before_it_makes_a_run_folder(environment):
    done = subprocess.run(command(*SMALL, "+foo=1"), cwd=HOUSE, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert "ConfigError: foo: nothing reads this key" in done.stderr
    assert "Traceback" not in done.stderr
    assert not Path(environment["FER_RUNS"]).exists()
