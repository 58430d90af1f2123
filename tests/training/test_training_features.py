"""What can be added to a training by one word: each does what it says, alone and together, also after a kill."""

import json
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf
from pytorch_lightning.callbacks import Checkpoint
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import DataLoader, SequentialSampler

from fer_lightning import batch_size
from fer_lightning.data.balance import EPOCHS, BalancedSampler
from fer_lightning.data.sampling import SharedBatches
from fer_lightning.errors import ConfigError
from fer_lightning.identity import run_folder
from fer_lightning.protocols import averaging, weights
from fer_lightning.protocols import fold as fold_module
from fer_lightning.protocols.averaging import EMA, end_with_average, scored_weights
from fer_lightning.protocols.build import build_net, speed_up
from fer_lightning.protocols.gradients import GradientCentralization, SampleMean
from fer_lightning.protocols.selection import BestValidationEpoch
from fer_lightning.protocols.stopping import EarlyStopping
from fer_lightning.run import check_options
from fer_lightning.tasks.classification import ClassificationTask
from tests.runs import SMALL, configure, predictions, read

ONE = "protocol.only=[samm-006]"
NONE = {"scheduler": None}


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.1)


def samples(n: int) -> list[dict]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n, 6, generator=generator)
    return [{"input": row, "label": int(row[0] > 0)} for row in x]


def linear() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(6, 2)


def task_of(net: nn.Module, **options) -> ClassificationTask:
    return ClassificationTask(net, nn.CrossEntropyLoss(), sgd, NONE, num_classes=2, **options)


def fit(task: pl.LightningModule, train: DataLoader, val: DataLoader | None = None, epochs: int = 1, **options):
    keeps = any(isinstance(callback, Checkpoint) for callback in options.get("callbacks", []))
    trainer = pl.Trainer(
        max_epochs=epochs, accelerator="cpu", num_sanity_val_steps=0, enable_checkpointing=keeps, logger=False,
        enable_progress_bar=False, enable_model_summary=False, **options,
    )  # fmt: skip
    trainer.fit(task, train, val)
    return trainer


class Raw(pl.Callback):
    """The weights after each step."""

    def __init__(self) -> None:
        self.weights: list[torch.Tensor] = []

    def on_train_batch_end(self, trainer, task, *_) -> None:
        self.weights.append(task.net.weight.detach().clone())


# Precision, layout, compilation


def test_half_precision_trains_in_bfloat16_and_predicts_in_32_bits(run_here, monkeypatch):
    seen, build = [], fold_module.build_task

    def watched(*arguments):
        task = build(*arguments)
        task.net.register_forward_hook(lambda net, _, out: seen.append((net.training, out.dtype)))
        return task

    monkeypatch.setattr(fold_module, "build_task", watched)
    plain = run_here(ONE, runs="plain")
    assert {dtype for _, dtype in seen} == {torch.float32}
    seen.clear()
    half = run_here(ONE, "trainer.precision=bf16-mixed", runs="half")
    assert set(seen) == {(True, torch.bfloat16), (False, torch.float32)}
    losses = [read(out, "curves/samm-006.csv")["train_loss"] for out in (plain, half)]
    assert losses[1].is_monotonic_decreasing
    assert losses[0].tolist() != losses[1].tolist()
    assert losses[1].tolist() == pytest.approx(losses[0].tolist(), rel=0.05)


def test_sixteen_bit_floats_are_refused_on_a_cpu(run_here):
    with pytest.raises(ConfigError, match=r"precision=16-mixed needs a GPU; here Lightning would take bf16-mixed"):
        run_here(ONE, "trainer.precision=16-mixed", "trainer.accelerator=cpu")


def kept_tasks(monkeypatch) -> list[ClassificationTask]:
    """The tasks of the folds that are run from now on."""
    tasks, build = [], fold_module.build_task
    monkeypatch.setattr(fold_module, "build_task", lambda *a: tasks.append(build(*a)) or tasks[-1])
    return tasks


def test_channels_last_is_a_layout_and_no_other_network(run_here, monkeypatch):
    tasks = kept_tasks(monkeypatch)
    out = run_here(ONE, "trainer.save_weights=true", "trainer.channels_last=true", "callbacks=ema")
    net = tasks[0].net.eval()
    kernels = [weight for weight in net.parameters() if weight.ndim == 4]
    assert kernels
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in kernels)
    plain = build_net(configure(*SMALL)).eval()
    assert not any(weight.is_contiguous(memory_format=torch.channels_last) for weight in plain.parameters())
    plain.load_state_dict(load_file(out / "weights" / "samm-006.safetensors"))
    inputs = torch.rand(4, 3, 28, 28)
    torch.testing.assert_close(net(inputs), plain(inputs))


@pytest.mark.slow
def test_a_compiled_network_keeps_its_names_and_learns_the_same(tmp_path):
    data, tasks = DataLoader(samples(16), batch_size=8), [task_of(linear()), task_of(linear())]
    torch._dynamo.utils.counters.clear()
    speed_up(configure("trainer.compile=true"), tasks[1].net)
    trainers = [fit(task, data, data) for task in tasks]
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0, "nothing was compiled"
    torch.testing.assert_close(tasks[1].net.weight, tasks[0].net.weight)
    assert tasks[0].history[0] == pytest.approx(tasks[1].history[0], rel=1e-5)
    for number, (task, trainer) in enumerate(zip(tasks, trainers, strict=True)):
        trainer.save_checkpoint(tmp_path / f"{number}.ckpt")
        weights.write(tmp_path / f"{number}.safetensors", task.net, {})
    assert list(load_file(tmp_path / "1.safetensors")) == list(load_file(tmp_path / "0.safetensors"))
    states = [torch.load(tmp_path / f"{number}.ckpt", weights_only=True)["state_dict"] for number in (0, 1)]
    assert list(states[0]) == list(states[1])


# Gradients


def gradients(net: nn.Linear, batch: list[dict]) -> dict[str, torch.Tensor]:
    """Of the mean loss of a batch, which are left alone in the network."""
    inputs, labels = torch.stack([s["input"] for s in batch]), torch.tensor([s["label"] for s in batch])
    loss = nn.functional.cross_entropy(net(inputs), labels)
    return dict(zip(("weight", "bias"), torch.autograd.grad(loss, [net.weight, net.bias]), strict=True))


def test_a_step_is_clipped_to_the_norm():
    net, data = linear(), samples(8)
    before, found = net.weight.detach().clone(), gradients(net, data)
    norm = float(torch.cat([g.flatten() for g in found.values()]).norm())
    assert norm > 0.05
    fit(task_of(net), DataLoader(data, batch_size=8), gradient_clip_val=0.05)
    torch.testing.assert_close(net.weight, before - 0.1 * found["weight"] * 0.05 / norm)


def batches(data: list[dict], size: int) -> DataLoader:
    return DataLoader(data, batch_sampler=SharedBatches(SequentialSampler(data), size))


@pytest.mark.parametrize("total", [32, 27, 18, 17])
def test_accumulated_batches_are_one_large_batch_also_at_the_end_of_an_epoch(total):
    # 27: steps of 16 and of 8 + 3 samples; 18: of 16 and of 2; 17: of 16, and one sample waits
    data, accumulated = samples(total), linear()
    fit(task_of(accumulated), batches(data, 8), accumulate_grad_batches=2, callbacks=[SampleMean()])
    large = linear()
    fit(task_of(large), batches(data, 16))
    torch.testing.assert_close(accumulated.weight, large.weight)
    alone = linear()
    fit(task_of(alone), batches(data, 8), accumulate_grad_batches=2)
    assert torch.allclose(alone.weight, large.weight) == (total in (32, 17)), "Lightning has learned it"


def test_the_gradient_of_each_output_has_no_mean():
    net, data = linear(), samples(8)
    before = {name: tensor.detach().clone() for name, tensor in net.named_parameters()}
    found = gradients(net, data)
    fit(task_of(net), DataLoader(data, batch_size=8), callbacks=[GradientCentralization()])
    centred = found["weight"] - found["weight"].mean(dim=1, keepdim=True)
    torch.testing.assert_close(net.weight, before["weight"] - 0.1 * centred)
    torch.testing.assert_close(net.bias, before["bias"] - 0.1 * found["bias"])


# Average of weights


def test_the_average_by_hand_with_accumulated_gradients():
    net, raw, ema = linear(), Raw(), EMA(decay=0.15)
    start = net.weight.detach().clone()
    trainer = fit(
        task_of(net), DataLoader(samples(32), batch_size=4), accumulate_grad_batches=2, callbacks=[raw, ema]
    )  # fmt: skip
    expected = start
    for n, weight in enumerate(raw.weights[1::2]):  # a step each second batch
        decay = [1 / 10, 0.15, 0.15, 0.15][n]  # then 2/11 and more
        expected = decay * expected + (1 - decay) * weight
    assert len(raw.weights) == 8
    torch.testing.assert_close(net.weight, raw.weights[-1], rtol=0, atol=0)
    end_with_average(trainer, task_of(net))
    torch.testing.assert_close(net.weight, expected)


class Normed(nn.Module):
    """Two layers that share a weight, and batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(6)
        self.one, self.two = nn.Linear(6, 2), nn.Linear(6, 2)
        self.two.weight = self.one.weight

    def forward(self, x):
        x = self.norm(x)
        return self.one(x) + self.two(x)


def test_statistics_are_averaged_counters_copied_and_looking_changes_nothing():
    torch.manual_seed(0)
    net, ema = Normed(), EMA(decay=0.9)
    trainer = fit(task_of(net), DataLoader(samples(32), batch_size=8), callbacks=[ema])
    raw = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with scored_weights(trainer, task_of(net)):
        averaged = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    assert torch.equal(averaged["one.weight"], averaged["two.weight"])
    assert averaged["norm.num_batches_tracked"] == raw["norm.num_batches_tracked"] == 4
    for name in ("one.weight", "norm.running_mean", "norm.weight"):
        assert not torch.equal(averaged[name], raw[name]), name
    assert all(torch.equal(tensor, raw[name]) for name, tensor in net.state_dict().items())


def test_validation_and_the_kept_epoch_are_of_the_average_and_training_is_not():
    data, val = samples(32), samples(16)
    inputs, labels = torch.stack([s["input"] for s in val]), torch.tensor([s["label"] for s in val])
    keeper, plain, raw = BestValidationEpoch("val_loss"), Raw(), Raw()
    task = task_of(linear())
    loaders = DataLoader(data, batch_size=8), DataLoader(val, batch_size=8)
    fit(task_of(linear()), *loaders, epochs=3, callbacks=[plain])
    fit(task, *loaders, epochs=3, callbacks=[EMA(decay=0.9), raw, keeper])
    assert all(map(torch.equal, raw.weights, plain.weights)), "the average has changed the training"
    kept = linear()
    kept.load_state_dict(keeper.weights)
    found = nn.functional.cross_entropy(kept(inputs), labels).item()
    assert task.history[keeper.epoch - 1]["val_loss"] == pytest.approx(found)
    assert not torch.equal(keeper.weights["weight"], task.net.weight)


@pytest.mark.parametrize("rule", ["last", "inner_val", "oracle_test"])
def test_predictions_records_and_saved_weights_are_of_the_average(run_here, monkeypatch, rule):
    options = [ONE, f"protocol.selection={rule}", "protocol.inner_val=0.3", "trainer.save_weights=true"]
    tasks = kept_tasks(monkeypatch)
    plain = run_here(*options, runs="plain")
    if rule == "last":
        same = run_here(*options, "callbacks=ema", "callbacks.ema.decay=0.0", runs="same")
        assert predictions(same) == predictions(plain), "an average of nothing but the last step"
    ema = run_here(*options, "callbacks=ema", runs="ema")
    assert predictions(ema) != predictions(plain)
    kept, net = load_file(ema / "weights" / "samm-006.safetensors"), tasks[-1].net
    assert all(torch.equal(tensor, kept[name]) for name, tensor in net.state_dict().items())
    if rule == "oracle_test":
        records = [np.load(out / "epochs" / "samm-006.npz")["probabilities"] for out in (plain, ema)]
        assert not np.array_equal(*records)


@pytest.mark.parametrize("decay", [1.0, -0.1])
def test_a_decay_that_never_or_wrongly_averages_is_refused(decay):
    with pytest.raises(ConfigError, match=r"ema\.decay=.* is outside \[0, 1\)"):
        EMA(decay)


# Mixtures


def mixed(name: str, inputs: torch.Tensor, *overrides: str, **batch) -> dict:
    """What a training batch becomes."""
    cfg = configure("data=megc2019_flow", f"mix={name}", *overrides)
    task = task_of(linear(), mix=instantiate(cfg.mix), soft_target="target" in batch)
    task._trainer = type("Training", (), {"training": True})()
    return task.on_after_batch_transfer({"input": inputs, **batch}, 0)


def test_mixup_by_hand():
    torch.manual_seed(3)
    inputs, labels = torch.rand(4, 3, 5, 5), torch.tensor([0, 1, 2, 0])
    found = mixed("mixup", inputs, label=labels)
    share = float(found["target"][0, 0] if labels[-1] != 0 else (found["target"][1, 1]))
    assert 0 < share < 1
    torch.testing.assert_close(found["input"], share * inputs + (1 - share) * inputs.roll(1, 0))
    expected = share * nn.functional.one_hot(labels, 3) + (1 - share) * nn.functional.one_hot(labels.roll(1), 3)
    torch.testing.assert_close(found["target"], expected)
    assert torch.equal(found["label"], expected.argmax(dim=1))


def test_cutmix_cuts_the_same_box_out_of_all_frames_and_counts_its_area():
    torch.manual_seed(0)
    inputs = torch.arange(2.0).view(2, 1, 1, 1, 1).expand(2, 3, 4, 10, 10).contiguous()  # clips of zeros, and of ones
    found = mixed("cutmix", inputs, label=torch.tensor([0, 1]))
    box = found["input"][0]
    assert 0 < box.mean() < 1
    assert (box == box[0, 0]).all()
    torch.testing.assert_close(found["target"][0], torch.tensor([1 - box.mean(), box.mean(), 0]))


def test_distributions_are_mixed_as_they_are():
    torch.manual_seed(3)
    target = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])
    found = mixed("mixup", torch.rand(2, 1, 4, 4), label=torch.tensor([0, 2]), target=target)
    share = float(1 - found["target"][0, 2])
    torch.testing.assert_close(found["target"], share * target + (1 - share) * target.roll(1, 0))


def test_only_training_batches_are_mixed(run_here, monkeypatch):
    tasks = kept_tasks(monkeypatch)
    options = [ONE, "protocol.selection=inner_val", "protocol.inner_val=0.3"]
    out = run_here(*options, "mix=mixup", "mix.alpha=1.0", runs="mixed")
    calls, task = [], tasks[0]
    task.mix.register_forward_pre_hook(lambda *a: calls.append(a))
    plain = run_here(*options, runs="plain")
    losses = [read(run, "curves/samm-006.csv")["train_loss"] for run in (out, plain)]
    assert losses[0].iloc[-1] > losses[1].iloc[-1], "mixed targets cannot be fitted exactly"
    task._trainer = type("Validating", (), {"training": False})()
    batch = {"input": torch.rand(2, 3, 4, 4), "label": torch.tensor([0, 1])}
    assert task.on_after_batch_transfer(batch, 0) is batch
    assert not calls


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data=affwild2_va", "task=valence_arousal", "loss=mse"], "mixes targets that are shares of classes"),
        (
            ["data=affwild2_va", "task=joint", "data.classes=[a,b]", "loss=cross_entropy"],
            "JointTask also has values",
        ),
        (["data=dfew", "input=openpose_json", "model=keypoint_ann"], "no person"),
    ],
)
def test_mixtures_without_a_meaning_are_refused(overrides, message):
    with pytest.raises(ConfigError, match=message):
        check_options(configure("model=arch1", *overrides, "mix=mixup"))


# Sampling


def test_balanced_draws():
    values = ["a"] * 90 + ["b"] * 9 + ["c"]
    sampler = BalancedSampler(values, seed=1)
    found = []
    for epoch in range(60):
        sampler.set_epoch(epoch)
        drawn = list(sampler)
        assert len(drawn) == len(sampler) == 100
        assert len(set(drawn)) == 100, "the same sample twice would be augmented alike"
        epochs, places = np.divmod(drawn, 100)
        assert set(epochs % EPOCHS) == {epoch}
        found += [values[place] for place in places]
        assert drawn == list(sampler)
    shares = [found.count(name) / len(found) for name in "abc"]
    assert shares == pytest.approx([1 / 3] * 3, abs=4 * np.sqrt(2 / 9 / len(found)))
    sampler.set_epoch(0)
    assert list(sampler) != drawn


def first_fold(*overrides: str):
    """The data module at the first fold of the smallest data."""
    from fer_lightning.run import plan

    cfg = configure("data=megc2019_flow", "data.batch_size=8", *overrides)
    data = instantiate(cfg.data)
    data.build()
    data.prepare(Path(cfg.paths.cache))
    fold = plan(cfg, data.manifest)[0]
    data.use_fold(fold, seed=0)
    return data, fold


@pytest.mark.parametrize(("sampling", "column"), [("balanced", "label"), ("balanced_groups", "group")])
def test_only_training_samples_are_drawn_and_all_kinds_are(run_here, sampling, column):
    run_here(ONE, "trainer.max_epochs=1")  # sets the environment
    data, fold = first_fold(f"data.sampling={sampling}")
    drawn = [sample for _ in range(3) for batch in data.train_dataloader() for sample in batch["sample_id"]]
    assert set(drawn) <= set(fold.train)
    assert len(drawn) == 3 * len(fold.train) - 3 * (len(fold.train) % 8 == 1)
    kinds = data.manifest.set_index("sample_id")[column]
    assert set(kinds[drawn]) == set(kinds[list(fold.train)])
    for part in ("val", "test"):
        ids = [sample for batch in data.loader(part) for sample in batch["sample_id"]]
        assert ids == list(getattr(fold, part)), "others are never drawn"


def test_draws_without_a_meaning_are_refused(run_here):
    with pytest.raises(
        InstantiationException, match=r"data\.sampling='even' is not one of \['shuffled', 'balanced', 'balanced_g"
    ):
        run_here("data.sampling=even")
    with pytest.raises(ConfigError, match="data=affwild2_va has none"):
        check_options(configure("model=arch1", "data=affwild2_va", "task=valence_arousal", "loss=mse",
                                "data.sampling=balanced"))  # fmt: skip
    data, _ = first_fold("data.sampling=balanced_groups")
    data.manifest["group"] = ""
    with pytest.raises(ConfigError, match=r"have the same group, ''; choose data\.sampling=shuffled"):
        data.train_dataloader()


# Early stopping

STOP = ["callbacks=early_stopping", "callbacks.early_stopping.patience=2", "callbacks.early_stopping.min_delta=9",
        "protocol.selection=inner_val", "protocol.inner_val=0.3", ONE]  # fmt: skip


def test_a_fold_stops_when_validation_gets_no_better(run_here):
    # nothing is better by 9, so the first epoch stays the best, and two more are waited for
    out = run_here(*STOP, "trainer.max_epochs=20")
    facts = json.loads((out / "predictions" / "samm-006.json").read_text())
    assert facts["epochs"] == 3
    curves = read(out, "curves/samm-006.csv")
    assert len(curves) == 3
    assert facts["epoch"] == curves["val_uf1"].argmax() + 1


@pytest.mark.parametrize(("name", "values", "epochs"), [
    ("val_loss", [3, 2, 2.5, 1.9, 1.8, 1.85, 1.9, 1.0], 7),
    ("val_uf1", [0.1, 0.3, 0.3, 0.4, 0.39, 0.38, 0.9], 6),
    ("val_uf1", [float("nan")] * 4, 2),
])  # fmt: skip
def test_patience_counts_epochs_without_a_better_one(name, values, epochs):
    trainer, task = type("Trainer", (), {})(), type("Task", (), {"history": []})()
    stopping = EarlyStopping(name, patience=2, min_delta=0.0)
    for epoch, value in enumerate(values, start=1):
        task.history.append({"epoch": epoch, name: value})
        stopping.on_train_epoch_end(trainer, task)
        if trainer.should_stop:
            break
    assert epoch == epochs


def test_a_fold_killed_after_it_had_stopped_trains_no_further(run_here, monkeypatch):
    options = [*STOP, "trainer.max_epochs=20", "trainer.checkpoint_every=1", "callbacks=[early_stopping,ema]"]
    unbroken = run_here(*options, runs="unbroken")
    with monkeypatch.context() as patch:
        patch.setattr(averaging, "end_with_average", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run_here(*options, runs="broken")
    broken = run_here(*options, runs="broken")
    assert predictions(broken) == predictions(unbroken)
    assert len(read(broken, "curves/samm-006.csv")) == 3


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["protocol.selection=oracle_test"], "does not go with protocol.selection=oracle_test"),
        (["protocol.selection=last"], "9 fold.s. have none .first: .*test samples never decide"),
        (["callbacks.early_stopping.metric=train_loss"], "only a figure of validation samples"),
        (["callbacks.early_stopping.metric=val_ccc", "protocol.selection=inner_val", ONE], "'val_ccc': no figure"),
    ],
)
def test_stopping_by_nothing_or_by_test_samples_is_refused(run_here, overrides, message):
    with pytest.raises(ConfigError, match=message):
        run_here("callbacks=early_stopping", *overrides)


@pytest.mark.parametrize("options", [{"patience": 0}, {"min_delta": -0.1}])
def test_no_patience_is_refused(options):
    with pytest.raises(ConfigError, match=r"patience=\d must be at least 1, min_delta=.* at least 0"):
        EarlyStopping("val_loss", **{"patience": 1, "min_delta": 0.0} | options)


# Together

ALL = ["callbacks=[ema,gradient_centralization]", "mix=mixup", "data.sampling=balanced", "loss=focal",
       "loss.weights=effective", "trainer.accumulate_grad_batches=2", "trainer.gradient_clip_val=1.0",
       "trainer.max_epochs=4", "trainer.checkpoint_every=1", "trainer.deterministic=true",
       "protocol.selection=inner_val", "protocol.inner_val=0.3", ONE]  # fmt: skip


def test_all_of_it_twice_and_after_a_kill_gives_the_same_bytes(run_here, monkeypatch):
    unbroken = predictions(run_here(*ALL, runs="unbroken"))
    assert predictions(run_here(*ALL, runs="again")) == unbroken
    epochs = []

    class Stop(Exception):
        pass

    tell = fold_module._Tell.on_train_epoch_start

    def stop_at_three(self, trainer, task):
        epochs.append(trainer.current_epoch)
        if len(epochs) == 4:
            raise Stop
        tell(self, trainer, task)

    monkeypatch.setattr(fold_module._Tell, "on_train_epoch_start", stop_at_three)
    with pytest.raises(Stop):
        run_here(*ALL, runs="broken")
    broken = run_here(*ALL, runs="broken")
    assert epochs == [0, 1, 2, 3, 3]
    assert predictions(broken) == unbroken


def test_each_feature_is_part_of_what_a_run_is():
    small = ["model=ststnet", "data=megc2019_flow"]
    base = configure(*small)
    keys = {"trainer.precision": "bf16-mixed", "trainer.channels_last": True, "trainer.compile": True,
            "trainer.gradient_clip_val": 1.0, "trainer.accumulate_grad_batches": 4, "trainer.deterministic": True,
            "loss.label_smoothing": 0.1, "data.sampling": "balanced"}  # fmt: skip
    groups = ["callbacks=ema", "callbacks=early_stopping", "callbacks=gradient_centralization", "mix=mixup",
              "mix=cutmix", "loss=weighted_cross_entropy", "loss=focal"]  # fmt: skip
    folders = {run_folder(base)}
    for key, value in keys.items():
        cfg = base.copy()
        assert OmegaConf.select(cfg, key) != value
        OmegaConf.update(cfg, key, value)
        folders.add(run_folder(cfg))
    folders |= {run_folder(configure(*small, group)) for group in groups}
    assert len(folders) == 1 + len(keys) + len(groups)


# The largest batch


@pytest.mark.parametrize("capacity", [0, 1, 2, 3, 37, 63, 64, 65, 100, 1000])
def test_the_largest_batch_is_found_in_few_tries(capacity):
    tries = []
    found = batch_size.largest(lambda size: tries.append(size) or size <= capacity, limit=100)
    assert found == min(capacity, 100)
    assert len(tries) <= 14
    assert max(tries) <= 100


def test_the_largest_batch_of_a_config_where_memory_is_full_at_six(run_here, monkeypatch):
    run_here(ONE, "trainer.max_epochs=1")  # sets the environment
    build = batch_size.build_task

    def full(net, inputs):
        if len(inputs[0]) > 5:
            raise torch.OutOfMemoryError("as a GPU says it")

    def small_memory(*arguments):
        task = build(*arguments)
        task.net.register_forward_pre_hook(full)
        return task

    monkeypatch.setattr(batch_size, "build_task", small_memory)
    words = ["callbacks=[ema,gradient_centralization]", "loss=focal", "mix=mixup", "scheduler=plateau"]
    cfg = configure("model=ststnet", "data=megc2019_flow", "trainer.accelerator=cpu", *words)
    data = instantiate(cfg.data)
    data.build()
    take = batch_size.stepper(cfg, data)
    assert batch_size.largest(lambda size: batch_size.step_fits(take, size), limit=8) == 5


def test_on_a_cpu_the_largest_batch_is_not_looked_for(capsys):
    assert batch_size.main(["model=ststnet", "data=megc2019_flow", "trainer.accelerator=cpu"]) == 2
    assert "can be found on a GPU only" in capsys.readouterr().err
