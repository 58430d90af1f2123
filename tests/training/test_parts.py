"""Parts of a network that are frozen, learn, decay or drop out in their own way."""

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader

from fer_lightning.errors import ConfigError
from fer_lightning.protocols.selection import view_probabilities
from fer_lightning.tasks.classification import ClassificationTask
from fer_lightning.tasks.parts import Parts
from tests.training.test_tasks import NONE, Net, batches, classify, fit, sgd


class Plain(list):
    """A data set without test-time views."""

    views = None


def test_frozen_parts_stay_as_they_are_also_their_batch_norm_and_dropout():
    torch.manual_seed(0)
    net, modes = Net(), []
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    hook = net.features.register_forward_pre_hook(lambda module, _: modes.append([m.training for m in module]))
    task = classify(net, parts=Parts(freeze=["features"]))

    class Peek(pl.Callback):
        def on_train_epoch_end(self, trainer, task):
            view_probabilities(task, DataLoader(Plain([{"input": torch.ones(6)}] * 2), batch_size=2))
            modes.append([m.training for m in task.net.features])
            assert task.net.classifier.training

    fit(task, batches(32, 8), batches(16, 8), callbacks=[Peek()])
    hook.remove()
    assert not any(map(any, modes))
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, before[name]) == name.startswith("features"), name


def test_parts_have_their_own_learning_rate_and_schedulers_keep_the_ratio():
    step = {"scheduler": lambda o: torch.optim.lr_scheduler.StepLR(o, 1, gamma=0.5), "interval": "epoch"}
    task = classify(Net(), step, parts=Parts(lr_factor={"features": 0.1, "features.1": 0.01}))
    trainer = fit(task, batches(32, 8), epochs=3)
    groups = trainer.optimizers[0].param_groups
    assert [len(group["params"]) for group in groups] == [2, 2, 2]
    assert [group["lr"] for group in groups] == pytest.approx([0.0125, 0.00125, 0.000125])
    assert [line["lr"] for line in task.history] == pytest.approx([0.1, 0.05, 0.025])  # of the epoch, not of the next


def test_a_scheduler_that_would_undo_the_factors_is_refused():
    cycle = {
        "scheduler": lambda o, total_steps: torch.optim.lr_scheduler.OneCycleLR(o, 0.1, total_steps),
        "interval": "step",
        "total_steps": True,
    }
    with pytest.raises(ConfigError, match=r"OneCycleLR sets one learning rate for all parts: leave parts\.lr_factor"):
        fit(classify(Net(), cycle, parts=Parts(lr_factor={"features": 0.1})), batches(32, 8))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"freeze": ["feature"]}, r"names 'feature'; the network has the parts \['features', 'classifier'\]"),
        ({"lr_factor": {"head": 2.0}}, r"names 'head'"),
        ({"weight_decay": {"head": 0.0}}, r"parts\.weight_decay names 'head'"),
        ({"dropout": {"classifier": 0.1}}, "'classifier', which has no dropout layer"),
        ({"freeze": ["features", "classifier"]}, "leaves nothing to train"),
    ],
)
def test_parts_that_do_not_exist_and_nothing_to_train_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        fit(classify(Net(), parts=Parts(**options)), batches(32, 8))


def test_parts_decay_in_their_own_way_and_vectors_not_at_all():
    parts = Parts(weight_decay={"features": 0.5, "features.1": 0.25}, decay_vectors=False)
    net = Net()
    groups = [group for _, group in parts.groups(net)]
    decays = {id(p): group.get("weight_decay") for group in groups for p in group["params"]}
    found = {name: decays[id(p)] for name, p in net.named_parameters()}
    assert found == {
        "features.0.weight": 0.5, "features.0.bias": 0.0, "features.1.weight": 0.0, "features.1.bias": 0.0,
        "classifier.weight": None, "classifier.bias": 0.0,
    }  # fmt: skip


def test_a_weight_decay_of_a_part_reaches_the_step():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 3, bias=False), nn.Linear(3, 2, bias=False))
    before = [layer.weight.detach().clone() for layer in net]
    parts = Parts(weight_decay={"0": 0.5})
    nothing = nn.MSELoss()
    nothing.forward = lambda logits, labels: logits.sum() * 0  # no gradient: only the decay moves weights
    task = ClassificationTask(net, nothing, sgd, NONE, num_classes=2, parts=parts)
    fit(task, batches(8, 8), epochs=1)
    torch.testing.assert_close(net[0].weight, before[0] * (1 - 0.1 * 0.5))
    assert torch.equal(net[1].weight, before[1])


def test_the_dropout_of_a_part_is_set():
    net = Net()
    Parts(dropout={"features": 0.125}).apply(net)
    assert net.features[2].p == 0.125
