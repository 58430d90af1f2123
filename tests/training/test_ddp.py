"""One fold in several processes gives what one process gives, and no sample counts twice."""

import json
import os
import queue
import signal
import subprocess
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import find_free_network_port
from torch import nn

from fer_lightning.data.datamodule import FERDataModule
from fer_lightning.data.dataset import EpochSampler
from fer_lightning.data.sampling import SharedBatches
from fer_lightning.errors import ConfigError, FERError
from fer_lightning.functional.folds import Fold
from fer_lightning.identity import run_folder
from fer_lightning.protocols import team
from fer_lightning.protocols.ddp import (
    BatchNormOfAll,
    check_folds,
    check_processes,
    processes,
    share_batch_norm,
    started_outside,
)
from fer_lightning.ranks import rank
from tests import warm
from tests.runs import HOUSE, SMALL, command, configure, read

DDP = ["trainer=ddp", "trainer.accelerator=cpu"]
#: Dropout draws other masks in each process; without it only rounding differs.
SAME = [*SMALL, *DDP, "+parts.dropout.streams=0.0", "data.batch_size=6", "protocol.only=[smic-s01,smic-s02]"]


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("size", [6, 12, 15, 16])
def test_the_parts_of_a_batch_are_the_batch(size, world):
    whole = SharedBatches(EpochSampler(size, seed=0), batch_size=6, least=2)
    parts = [SharedBatches(EpochSampler(size, seed=0), 6, place, world) for place in range(world)]
    for shared in (whole, *parts):
        shared.sampler.set_epoch(3)
    assert len({len(list(shared)) for shared in (whole, *parts)} | {len(shared) for shared in (whole, *parts)}) == 1
    for number, (batch, *shares) in enumerate(zip(whole, *parts, strict=True)):
        assert sorted(place for share in shares for place in share) == sorted(batch)
        # The mean over processes of the weighted means is the mean of the batch.
        means = [np.mean(share) * part.weight(number) for share, part in zip(shares, parts, strict=True)]
        assert np.mean(means) == pytest.approx(np.mean(batch))


@pytest.mark.parametrize(("size", "least", "batches"), [(13, 2, 2), (13, 1, 3), (14, 2, 3), (15, 4, 2), (3, 4, 1)])
def test_a_last_batch_that_is_too_small_waits_unless_it_is_the_only_one(size, least, batches):
    assert len(list(SharedBatches(EpochSampler(size, seed=0), 6, least=least))) == batches


@pytest.mark.parametrize(("devices", "number"), [("2", 2), ("[0,1,3]", 3), ("auto", 1), ("1", 1)])
def test_processes_are_devices_times_nodes(devices, number):
    overrides = [*SMALL, *DDP, f"trainer.devices={devices}", "trainer.num_nodes=2"]
    assert processes(configure(*overrides)) == 2 * number


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (["trainer.devices=2", "protocol.workers=2"], r"2 processes a fold, protocol.workers=2 for as many folds side"),
        (["trainer.devices=3"], r"batch_size=8 is the batch of a step, in all 3 processes.*a multiple of 3"),
        (["trainer.devices=0"], "trainer.devices=0 is neither a number of devices"),
        (["trainer.devices=two"], "trainer.devices='two' is neither a number of devices"),
    ],
)
def test_what_does_not_go_together_is_refused(overrides, reason):
    with pytest.raises(ConfigError, match=reason):
        check_processes(configure(*SMALL, *DDP, *overrides))


def test_a_fold_too_small_to_share_is_refused():
    fold = Fold("s1", train=tuple("abcd"), val=("e",), test=("f",))
    with pytest.raises(ConfigError, match="fold s1 has 4 training and 1 validation samples for 2 processes"):
        check_folds(configure(*SMALL, *DDP, "trainer.devices=2"), [fold])
    check_folds(configure(*SMALL, *DDP, "trainer.devices=1"), [fold])


def test_ranks_of_torchrun_and_slurm_are_found(monkeypatch):
    two = configure(*SMALL, *DDP, "trainer.devices=2")
    assert started_outside(two) is None
    monkeypatch.setenv("SLURM_NTASKS", "2")
    with pytest.raises(ConfigError, match="--ntasks-per-node"):
        started_outside(two)
    for name, value in {"SLURM_NTASKS_PER_NODE": "2", "SLURM_PROCID": "1", "SLURM_JOB_ID": "7"}.items():
        monkeypatch.setenv(name, value)
    found = started_outside(two)
    assert (found.world_size(), found.global_rank(), found.main_port) == (2, 1, 15007)
    with pytest.raises(ConfigError, match=r"2 processes were started .* is 4"):
        started_outside(configure(*SMALL, *DDP, "trainer.devices=2", "trainer.num_nodes=2"))
    assert started_outside(configure(*SMALL, *DDP, "trainer.devices=1")) is None
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    assert started_outside(two).global_rank() == 0


def test_how_many_processes_is_no_part_of_what_a_run_is():
    names = {run_folder(configure(*SMALL, *more)) for more in ([], ["trainer.devices=2"])}
    assert len(names) == 1
    names |= {run_folder(configure(*SMALL, *DDP, f"trainer.devices={n}", f"trainer.num_nodes={n}")) for n in (1, 2)}
    assert len(names) == 2  # batch norm of all processes, or of each, is another training
    assert len(names | {run_folder(configure(*SMALL, *DDP, "trainer.sync_batchnorm=false"))}) == 3


def test_batch_norm_of_one_process_is_that_of_torch(monkeypatch):
    monkeypatch.setattr("torch.distributed.all_reduce", lambda tensor: None)  # the only process there is
    torch.manual_seed(0)
    norms = [nn.Sequential(nn.BatchNorm2d(3, momentum=0.3), nn.BatchNorm2d(3, affine=False)) for _ in range(2)]
    ours, theirs = (net.double() for net in norms)
    names = list(ours.state_dict())
    share_batch_norm(ours, gpu=False)
    assert [type(module) for module in ours] == [BatchNormOfAll] * 2
    assert list(ours.state_dict()) == names
    for net in (ours, theirs):
        torch.manual_seed(1)
        net[0].weight.data.uniform_()
        inputs = (5 + 2 * torch.randn(4, 3, 5, 5)).double().requires_grad_()
        outputs = net(inputs)
        outputs.square().mul(torch.randn(4, 3, 5, 5)).sum().backward()
        net.found = [outputs, inputs.grad, net[0].weight.grad, net[0].bias.grad, *net.state_dict().values()]
        net.found.append(net.eval()(inputs))
    for mine, wanted in zip(ours.found, theirs.found, strict=True):
        torch.testing.assert_close(mine, wanted)


def test_a_batch_norm_with_more_in_it_is_not_replaced_in_silence():
    from timm.layers import BatchNormAct2d

    with pytest.raises(ConfigError, match="does not know BatchNormAct2d"):
        share_batch_norm(nn.Sequential(BatchNormAct2d(3)), gpu=False)
    found = share_batch_norm(nn.Sequential(BatchNormAct2d(3), nn.BatchNorm2d(3)), gpu=True)
    assert isinstance(found[0].act, nn.ReLU)
    assert all(isinstance(module, nn.SyncBatchNorm) for module in found)


def test_a_process_that_waits_for_a_dead_one_is_ended(monkeypatch, capsys):
    ended = []
    monkeypatch.setattr(team, "GRACE", 0.0)
    monkeypatch.setattr(team.os, "_exit", ended.append)
    readable, writable = os.pipe()
    os.close(writable)  # now it is ready to be read, as the sentinel of an ended process is
    errors, over = queue.SimpleQueue(), threading.Event()
    errors.put(FERError("a stone"))
    team._watch([SimpleNamespace(sentinel=readable)], errors, over)
    assert ended == [1]
    assert "another process of this fold has failed: a stone" in capsys.readouterr().err
    over.set()
    team._watch([SimpleNamespace(sentinel=readable)], errors, over)
    os.close(readable)
    assert ended == [1]


class Stumbles(pl.Callback):
    """Fails, or is killed, in the process and epoch that the test's environment names: ``fails:<rank>:<epoch>``."""

    def on_train_epoch_start(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        how, _, where = os.environ.get("STUMBLES", "").partition(":")
        if where == f"{rank()}:{trainer.current_epoch + 1}":
            if how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise ValueError("a stone")


@pytest.fixture
def odd(run_here, monkeypatch):
    """`run_here` on a data set with an odd number of samples, so that the last batch cannot be shared equally."""
    build = FERDataModule.build

    def build_less(data: FERDataModule, cache_dir: Path) -> None:
        data.manifest = build(data, cache_dir).iloc[1:].reset_index(drop=True)

    monkeypatch.setattr(FERDataModule, "build", build_less)
    stumbles = "+callbacks.stumbles._target_=tests.training.test_ddp.Stumbles"
    common = [*SAME, stumbles, "protocol.selection=inner_val", "trainer.checkpoint_every=1", "run_name=x"]
    return lambda *overrides, runs: run_here(*[o for o in common if o != "debug=tiny"], *overrides, runs=runs)


def close(one: Path, two: Path) -> None:
    """The files of two runs agree within rounding; what is no number is the same."""
    for kind in ("predictions", "curves", "validation"):
        names = sorted(file.name for file in (one / kind).glob("*.csv"))
        assert names or kind == "validation"
        assert names == sorted(file.name for file in (two / kind).glob("*.csv"))
        for name in names:
            ours, theirs = read(one, f"{kind}/{name}"), read(two, f"{kind}/{name}")
            assert list(ours) == list(theirs)
            assert len(ours) == len(theirs) > 0
            for column in ours:
                if ours[column].dtype.kind == "f":
                    np.testing.assert_allclose(ours[column], theirs[column], atol=1e-5, err_msg=f"{name}: {column}")
                else:
                    assert ours[column].tolist() == theirs[column].tolist()


@pytest.mark.slow
def test_two_processes_fail_together_and_go_on_together_to_what_one_gives(odd, tmp_path, monkeypatch, capfd):
    alone = odd(runs="one")
    for stumbles, reason in (("fails:1:2", "ValueError: a stone"), ("killed:1:3", "ended with exit code -9")):
        monkeypatch.setenv("STUMBLES", stumbles)
        with pytest.raises(FERError, match=reason):
            odd("trainer.devices=2", runs="two")
        assert [file.name for file in tmp_path.glob("two/x/checkpoints/*/*")] == ["last.ckpt"]  # from which it goes on
    monkeypatch.delenv("STUMBLES")
    capfd.readouterr()
    with warm.spawned(cold=True):
        together = odd("trainer.devices=2", runs="two")
    said = capfd.readouterr()
    assert said.err.count("run folder") == 1
    assert said.out.count("folds are done") == 1
    close(alone, together)
    facts = read_facts(together)
    assert [fact["processes"] for fact in facts] == [2, 2]
    assert [fact["epoch"] for fact in facts] == [fact["epoch"] for fact in read_facts(alone)]
    assert not list(together.glob(".manifest*"))
    assert not list((together / "checkpoints").rglob("*.ckpt"))


def read_facts(folder: Path) -> list[dict]:
    return [json.loads(file.read_text()) for file in sorted((folder / "predictions").glob("*.json"))]


@pytest.mark.slow
def test_processes_that_were_started_outside_share_every_cell_of_a_sweep(run_here, environment, tmp_path, capfd):
    """What srun and torchrun do: the same command in each process. One of the two cells fails."""
    cell = [*SAME, "protocol.selection=oracle_test", "trainer.max_epochs=3"]
    alone = run_here(*[option for option in cell if option != "debug=tiny"], runs="alone")
    capfd.readouterr()
    ranks = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "TORCHELASTIC_RUN_ID": "1"}
    ranks["MASTER_PORT"] = str(find_free_network_port())
    first, second = (environment | ranks | {"RANK": place, "LOCAL_RANK": place} for place in "01")
    arguments = [*cell, "trainer.devices=2", "optimizer.lr=1e30,0.001", "-m"]
    other = warm.begin(["train.py", *arguments], second)
    done = subprocess.run(command(*arguments), cwd=HOUSE, env=first, capture_output=True, text=True, timeout=300)
    other.join(300)
    assert [done.returncode, other.exitcode] == [1, 1], done.stderr
    assert "training has diverged" in done.stderr
    assert [text.count("run folder") for text in (done.stderr, capfd.readouterr().err)] == [2, 0]
    (done,) = {file.parent.parent for file in (tmp_path / "runs").rglob("predictions/*.csv")}
    close(alone, done)
    for name in ("smic-s01.npz", "smic-s02.npz"):
        ours, theirs = np.load(alone / "epochs" / name), np.load(done / "epochs" / name)
        assert ours["sample_id"].tolist() == theirs["sample_id"].tolist()
        np.testing.assert_allclose(ours["probabilities"], theirs["probabilities"], atol=1e-5)
