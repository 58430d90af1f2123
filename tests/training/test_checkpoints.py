"""A checkpoint is there as a whole or not at all."""

import pytest
import torch

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
