"""A fold that was stopped and goes on ends with the bytes of one that was not."""

import pytest

from fer_lightning.protocols import fold as fold_module
from tests.runs import predictions

OPTIONS = ["protocol.only=[samm-006]", "trainer.max_epochs=5", "trainer.checkpoint_every=1"]
#: From the second look on every epoch lowers the rate: nothing is ever 1e9 better.
PLATEAU = ["optimizer=sgd", "scheduler=plateau", "scheduler.scheduler.patience=0", "scheduler.scheduler.factor=0.5",
           "+scheduler.scheduler.threshold=1e9", "+scheduler.scheduler.threshold_mode=abs"]  # fmt: skip


class Stop(Exception):
    """What ends a training in the middle."""


@pytest.mark.parametrize(
    "options",
    [["data.num_workers=1", "augment=micro_flow"], PLATEAU],
    ids=["loader_workers", "plateau"],
)
def test_a_fold_stopped_after_two_epochs_ends_as_if_it_had_not_been(run_here, monkeypatch, options):
    unbroken = run_here(*OPTIONS, *options, runs="unbroken")
    epochs, tell = [], fold_module._Tell.on_train_epoch_start

    def stop_at_the_third(self, trainer, task):
        epochs.append(trainer.current_epoch)
        if len(epochs) == 3:
            raise Stop
        tell(self, trainer, task)

    monkeypatch.setattr(fold_module._Tell, "on_train_epoch_start", stop_at_the_third)
    with pytest.raises(Stop):
        run_here(*OPTIONS, *options, runs="broken")
    broken = run_here(*OPTIONS, *options, runs="broken")
    assert epochs == [0, 1, 2, 2, 3, 4]
    assert predictions(broken) == predictions(unbroken)
    curves = "curves/samm-006.csv"
    assert (broken / curves).read_bytes() == (unbroken / curves).read_bytes()
