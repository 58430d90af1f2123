"""A checkpoint is there as a whole or not at all."""

from types import SimpleNamespace

import pytest
import torch

from fer_lightning.protocols import checkpoints
from fer_lightning.protocols import fold as fold_module
from fer_lightning.protocols.checkpoints import WholeCheckpoints


def test_a_checkpoint_that_is_not_finished_leaves_the_one_before(tmp_path, monkeypatch):
    file, whole = tmp_path / "fold" / "last.ckpt", WholeCheckpoints()
    whole.save_checkpoint({"epoch": 1, "state_dict": {"w": torch.ones(3)}}, file)

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
