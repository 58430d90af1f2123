"""What `train.py` says before and besides training: wrong values, wrong names, a run that asks for another."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from fer_lightning.compose import check_names
from fer_lightning.errors import ConfigError
from fer_lightning.settings import check_settings
from tests import warm
from tests.runs import HOUSE, SMALL, command, configure


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("trainer.max_epochs=0", "expected a whole number from 1"),
        ("trainer.max_epochs=-1", "expected a whole number from 1"),
        ("trainer.max_epochs=1.5", "expected a whole number from 1"),
        ("trainer.max_epochs=two", "trainer.max_epochs=two"),
        ("optimizer.lr=abc", "expected a number above 0"),
        ("optimizer.lr=nan", "expected a number above 0"),
        ("optimizer.lr=-1", "expected a number above 0"),
        ("optimizer.weight_decay=-1", "expected a number from 0"),
        ("loss.label_smoothing=2", "expected a number from 0 to 1"),
        ("data.batch_size=0", "expected a whole number from 1"),
        ("data.batch_size=true", "expected a whole number from 1"),
        ("data.num_workers=-1", "expected a whole number from 0"),
        ("seed=-1", "expected a whole number from 0"),
        ("protocol.workers=0", "expected a whole number from 1"),
        ("trainer.gradient_clip_val=-1", "expected a number from 0"),
        ("trainer.save_weights=maybe", "expected true or false"),
        ("protocol.only=casme2-sub01", r"expected a list; with one element protocol.only=\[casme2-sub01\]"),
        ("parts.freeze=features", r"parts.freeze=\[features\]"),
        ("run_name=../../elsewhere", "expected a folder below paths.runs"),
        ("run_name=/elsewhere", "expected a folder below paths.runs"),
        ("data.name=../evil", "data.name=../evil: expected a plain folder name"),
        ("data.name=a/b", "expected a plain folder name"),
        ("data.name=/elsewhere", "expected a plain folder name"),
        ("data.name=..", "expected a plain folder name"),
        ("data.name=null", "data.name=None: expected a plain folder name"),
        ("data.name=", "expected a plain folder name"),
        ("data.name=.hidden", "expected a plain folder name"),
        (r"data.name='a\\b'", "expected a plain folder name"),
        ("data.name='a\nb'", "expected a plain folder name"),
        ("model_name=../evil", "model_name=../evil: expected a plain folder name"),
        ("model_name={a: b}", "expected a plain folder name"),
        ("protocol.name=../evil", "protocol.name=../evil: expected a plain folder name"),
        ("before=vggnet", "expected overrides in braces"),
    ],
)
def test_a_wrong_value_is_refused_with_what_can_be_said(override, text):
    with pytest.raises(ConfigError, match=text):
        check_settings(configure(*SMALL, override))


def test_values_that_are_meant_pass():
    check_settings(configure(*SMALL))
    check_settings(configure(*SMALL, "protocol=kfold", "protocol.folds.k=2", "optimizer.lr=1", "run_name=mine/first",
                           "trainer.gradient_clip_val=0.5", "before={model: ststnet}"))  # fmt: skip
    check_settings(configure(*SMALL, "data.name='my faces'", "model_name=a+b.c", "protocol.name=7", "run_name=7"))


@pytest.mark.parametrize("override", ["data.name=../evil", "model_name=../evil", "protocol.name=../../../evil"])
def test_a_name_that_leads_elsewhere_writes_nothing(override, run_here, tmp_path):
    before = set(tmp_path.rglob("*"))
    with pytest.raises(ConfigError, match="expected a plain folder name") as refused:
        run_here(override)
    assert "\n" not in str(refused.value)
    assert set(tmp_path.rglob("*")) == before


def test_a_misspelt_name_gets_similar_ones_and_a_choice_of_several_each_its_own():
    with pytest.raises(ConfigError, match=r"model=stsnet: no such file .* Did you mean ststnet"):
        check_names(["model=waspp,stsnet", "data=casme2"])
    with pytest.raises(ConfigError, match=r"debug=quick: .* There are fast, tiny"):
        check_names(["debug=quick"])
    check_names(
        ["model=waspp,ststnet", "debug=null", "experiment=glob(waspp-t10-*)", "callbacks=[ema]", "seed=0", "-m"]
    )


def test_the_command_of_staged_transfer_runs_as_it_stands_in_the_readme(environment):
    """Composing the stage before happens inside of Hydra's own command."""
    overrides = [*SMALL, "protocol=kfold", "protocol.folds.k=2", "trainer.max_epochs=1",
                 "before={model: ststnet, trainer.max_epochs: 1}", "optimizer.lr=0.002"]  # fmt: skip
    done = subprocess.run(command(*overrides), cwd=HOUSE, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(list(Path(environment["FER_RUNS"]).rglob("scores.json"))) == 2


def test_an_error_inside_of_what_hydra_makes_is_said_in_a_line(start):
    done = start(*SMALL, "data.sampling=balancd")
    assert done.returncode == 2
    assert "ConfigError: data.sampling='balancd' is not one of" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert "HYDRA_FULL_ERROR" not in done.stderr


@pytest.mark.slow
def test_ctrl_c_says_that_it_can_go_on(environment, capfd):
    started = warm.begin(["train.py", *SMALL, "trainer.max_epochs=1000000"], environment)
    try:
        end = time.monotonic() + 120
        while not list(Path(environment["FER_RUNS"]).glob("*/*/*/*/locks/*.lock")):
            assert time.monotonic() < end, "no fold began"
            time.sleep(0.2)
        time.sleep(1)
        os.kill(started.pid, signal.SIGINT)
        started.join(60)
    finally:
        started.kill()
    assert started.exitcode == 130
    assert "stopped: finished folds are kept, the same command goes on" in capfd.readouterr().err
