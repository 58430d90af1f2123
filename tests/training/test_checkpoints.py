"""A checkpoint is there as a whole or not at all."""

from types import SimpleNamespace

import pytest
import torch

from fer_lightning.errors import StorageError
from fer_lightning.protocols import checkpoints
from fer_lightning.protocols import fold as fold_module
from fer_lightning.protocols.checkpoints import Checkpoints, WholeCheckpoints, remove_damaged
from tests.runs import predictions

#: What Lightning asks every checkpoint for.
VERSION = {"pytorch-lightning_version": "2.5.0"}


def test_a_checkpoint_that_is_not_finished_leaves_the_one_before(tmp_path, monkeypatch):
    file, whole = tmp_path / "fold" / "last.ckpt", WholeCheckpoints()
    whole.save_checkpoint(VERSION | {"epoch": 1, "state_dict": {"w": torch.ones(3)}}, file)

    def half(checkpoint, stream):
        stream.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(KeyboardInterrupt):
        whole.save_checkpoint({"epoch": 2}, file)
    found = whole.load_checkpoint(file)
    assert found["epoch"] == 1
    assert torch.equal(found["state_dict"]["w"], torch.ones(3))
    assert [path.name for path in file.parent.iterdir()] == ["last.ckpt"]


@pytest.mark.slow
def test_folds_keep_their_checkpoints_this_way(run_here, monkeypatch):
    written = []
    save = WholeCheckpoints.save_checkpoint
    monkeypatch.setattr(WholeCheckpoints, "save_checkpoint", lambda *a, **k: written.append(a[2]) or save(*a, **k))
    run_here("protocol.only=[samm-006]", "trainer.checkpoint_every=1")
    assert [str(path).endswith("samm-006/last.ckpt") for path in written] == [True] * 3


@pytest.mark.slow
def test_only_a_fold_that_takes_long_keeps_checkpoints(run_here, monkeypatch):
    minutes, written = [0.0], []
    save = WholeCheckpoints.save_checkpoint
    monkeypatch.setattr(WholeCheckpoints, "save_checkpoint", lambda *a, **k: written.append(epoch[-1]) or save(*a, **k))
    monkeypatch.setattr(checkpoints, "time", SimpleNamespace(monotonic=lambda: 60 * minutes[0]))
    tell, epoch = fold_module._Tell.on_train_epoch_start, []

    def four_minutes_an_epoch(self, trainer, task):
        minutes[0] += 4
        epoch.append(trainer.current_epoch)
        tell(self, trainer, task)

    monkeypatch.setattr(fold_module._Tell, "on_train_epoch_start", four_minutes_an_epoch)
    run_here("protocol.only=[samm-006]", "trainer.max_epochs=7")
    assert written == [2, 5], "after 12 and 24 minutes: at the end of the epoch in which ten minutes were over"
    run_here("protocol.only=[samm-007]", "trainer.max_epochs=7", "trainer.checkpoint_minutes=0")
    assert len(written) == 2


def one_bit(content: bytes) -> bytes:
    place = content.index(torch.ones(64).numpy().tobytes())
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize(
    "damage",
    [lambda c: c[: len(c) // 2], lambda c: c[:-1], lambda c: bytes(range(256)) * 9, lambda c: b"", one_bit],
    ids=["half", "without_its_last_byte", "garbage", "empty", "one_bit"],
)
def test_a_damaged_checkpoint_is_removed_and_named(tmp_path, capsys, damage):
    file = tmp_path / "fold7" / "last.ckpt"
    WholeCheckpoints().save_checkpoint(VERSION | {"state_dict": {"w": torch.ones(64)}}, file)
    content = file.read_bytes()
    Checkpoints(file.parent, every=1, minutes=0)
    assert file.read_bytes() == content, "a whole one stays"
    assert capsys.readouterr().err == ""
    file.write_bytes(damage(content))
    Checkpoints(file.parent, every=1, minutes=0)
    assert not file.exists()
    assert capsys.readouterr().err == f"{file} is damaged: fold fold7 begins anew, finished folds are kept\n"


def test_a_checkpoint_that_may_not_be_read_is_not_removed(tmp_path, monkeypatch):
    file = tmp_path / "fold7" / "last.ckpt"
    WholeCheckpoints().save_checkpoint(VERSION, file)

    def refused(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(checkpoints.zipfile, "ZipFile", refused)
    with pytest.raises(StorageError, match=rf"{file} cannot be read or removed \(Permission denied\)\. Remove it"):
        remove_damaged(file)
    assert file.is_file()


@pytest.mark.parametrize("content", [b"no archive", {}, [1], {"w": print}], ids=["bytes", "empty", "list", "code"])
def test_what_is_no_checkpoint_is_refused_in_a_line(tmp_path, content):
    file = tmp_path / "last.ckpt"
    torch.save(content, file)
    if isinstance(content, bytes):
        file.write_bytes(content)
    with pytest.raises(StorageError) as refused:
        WholeCheckpoints().load_checkpoint(file, weights_only=True)
    said = str(refused.value)
    assert said.startswith(str(file))
    assert said.endswith("Remove it and run the same command again: this fold begins anew, finished folds are kept")
    assert "\n" not in said


@pytest.mark.slow
def test_a_fold_whose_checkpoint_is_damaged_begins_anew(run_here, monkeypatch, capsys):
    options = ["protocol.only=[samm-006]", "trainer.max_epochs=4", "trainer.checkpoint_every=1"]
    unbroken = run_here(*options, runs="unbroken")
    epochs, tell = [], fold_module._Tell.on_train_epoch_start

    def stop_at_the_third(self, trainer, task):
        epochs.append(trainer.current_epoch)
        if len(epochs) == 3:
            raise KeyError("stopped")
        tell(self, trainer, task)

    monkeypatch.setattr(fold_module._Tell, "on_train_epoch_start", stop_at_the_third)
    with pytest.raises(KeyError, match="stopped"):
        run_here(*options, runs="broken")
    [file] = unbroken.parents[4].glob("broken/**/last.ckpt")
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(StorageError, match=f"{file} cannot be read as a checkpoint"):
        run_here(*options[:2], "trainer.checkpoint_minutes=0", runs="broken")
    broken = run_here(*options, runs="broken")
    assert epochs == [0, 1, 2, 0, 1, 2, 3]
    assert f"{file} is damaged" in capsys.readouterr().err
    assert predictions(broken) == predictions(unbroken)
    assert not file.exists()
