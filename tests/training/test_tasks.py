"""Valence and arousal, both kinds of output at once, and staged transfer: losses, curves, frozen parts, whole runs."""

import json
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.data import DataLoader

from fer_lightning.errors import ConfigError, LeakError
from fer_lightning.functional.continuous import ccc, rmse, terms
from fer_lightning.identity import run_folder
from fer_lightning.protocols import weights
from fer_lightning.protocols.selection import BestValidationEpoch
from fer_lightning.reporting.scores import write_scores
from fer_lightning.run import run
from fer_lightning.stages import earlier
from fer_lightning.tasks.classification import ClassificationTask
from fer_lightning.tasks.continuous import Agreement, ContinuousLoss, ContinuousTask, sums
from fer_lightning.tasks.joint import JointTask
from tests.runs import HOUSE, configure, read

NONE = {"scheduler": None}


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.1)


def pair(n: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """(predicted, target), float64 ``(n, 2)``."""
    rng = np.random.default_rng(seed)
    target = rng.uniform(-1, 1, (n, 2))
    return torch.from_numpy(0.5 * target + rng.normal(0.2, 0.3, (n, 2))), torch.from_numpy(target)


def batches(n: int, size: int, inputs: int = 6) -> list[dict]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n, inputs, generator=generator)
    target = (x[:, :2] * 0.4).tanh()
    label = (x[:, 0] > 0).long()
    return [
        {"input": x[i : i + size], "target": target[i : i + size], "label": label[i : i + size]}
        for i in range(0, n, size)
    ]


def fit(task: pl.LightningModule, train: list[dict], val: list[dict] = (), epochs: int = 2, **options) -> pl.Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    keeps = any(isinstance(callback, Checkpoint) for callback in options.get("callbacks", []))
    trainer = pl.Trainer(
        max_epochs=epochs, accelerator="cpu", num_sanity_val_steps=0, enable_checkpointing=keeps, **quiet, **options
    )
    loaders = [DataLoader(list(part), batch_size=None) for part in (train, val)]
    trainer.fit(task, loaders[0], loaders[1] if val else None)
    return trainer


def test_the_loss_by_hand():
    # as in test_ccc: CCC 1/2, squared error 2/4; a second value that is never known changes nothing
    nan = float("nan")
    target = torch.tensor([[-1.0, nan], [0.0, -5.0], [0.0, nan], [1.0, nan]])
    predicted = torch.tensor([[0.0, 9.0], [0.0, 9.0], [1.0, 9.0], [1.0, 9.0]])
    assert float(ContinuousLoss(1, 0)(predicted, target)) == pytest.approx(0.5)
    assert float(ContinuousLoss(0, 1)(predicted, target)) == pytest.approx(0.5)
    assert float(ContinuousLoss(2, 3)(predicted, target)) == pytest.approx(2.5)


def test_the_loss_agrees_with_the_score_and_its_gradient_with_differences():
    predicted, target = pair(30)
    predicted.requires_grad_()
    expected = terms(target.numpy(), predicted.detach().numpy()).sum(axis=0)
    assert ContinuousLoss(0, 1)(predicted, target).item() == pytest.approx(1 - ccc(expected).mean())
    assert ContinuousLoss(1, 0)(predicted, target).item() == pytest.approx((rmse(expected) ** 2).mean())
    assert torch.autograd.gradcheck(lambda p: ContinuousLoss(1, 1).of(sums(p, target)), predicted)


@pytest.mark.parametrize("target", [[[0.3, 0.3]], [[0.5, 0.5]] * 4, [[0.5, float("nan")]], [[-5.0, -5.0]] * 3], ids=str)
def test_batches_without_a_ccc_have_a_finite_gradient(target):
    target = torch.tensor(target)
    predicted = torch.full_like(target, 0.5, requires_grad=True)
    loss = ContinuousLoss(1, 1)(predicted, target)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(predicted.grad).all()
    assert (loss.item() == 0) == bool((target == -5).all())


def test_curves_are_of_all_samples_whatever_the_batches_and_accumulated_gradients():
    found = []
    for size, accumulate in ((5, 1), (8, 1), (8, 3)):
        torch.manual_seed(0)
        task = ContinuousTask(nn.Linear(6, 2), ContinuousLoss(1, 1), sgd, NONE, num_targets=2)
        val = batches(41, size)
        fit(task, batches(40, 8), val, accumulate_grad_batches=accumulate)
        predicted = torch.cat([task.predict_step(batch, 0) for batch in val]).detach().numpy()
        expected = terms(torch.cat([batch["target"] for batch in val]).numpy(), predicted).sum(axis=0)
        line = task.history[-1]
        assert line["val_ccc"] == pytest.approx(ccc(expected).mean())
        assert line["val_rmse"] == pytest.approx(rmse(expected).mean())
        assert line["val_loss"] == pytest.approx((rmse(expected) ** 2 + 1 - ccc(expected)).mean())
        found.append(line["val_ccc"])
    assert found[0] == pytest.approx(found[1])
    assert list(line) == ["epoch", "lr", "train_loss", "train_ccc", "val_loss", "val_ccc", "val_rmse"]


def second_process(folder: Path) -> None:
    predicted, target = torch.load(folder / "part.pt")
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=1, world_size=2)
    agreement = Agreement(2)
    for rows in torch.arange(len(target)).split(7):
        agreement.update(predicted[rows], target[rows])
    agreement.compute()


@pytest.mark.slow
def test_two_processes_have_the_ccc_of_all_samples(tmp_path):
    predicted, target = pair(90)
    torch.save((predicted[25:], target[25:]), tmp_path / "part.pt")
    second = get_context("spawn").Process(target=second_process, args=(tmp_path,))
    second.start()
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=2)
    try:
        agreement = Agreement(2)
        agreement.update(predicted[:25], target[:25])
        found = agreement.compute().numpy()
    finally:
        torch.distributed.destroy_process_group()
    second.join(60)
    assert second.exitcode == 0
    assert ccc(found) == pytest.approx(ccc(terms(target.numpy(), predicted.numpy()).sum(axis=0)))


def joint(**options) -> JointTask:
    return JointTask(
        nn.Flatten(), nn.CrossEntropyLoss(), ContinuousLoss(1, 0), sgd, NONE, num_classes=2, num_targets=1,
        tanh=False, **options,
    )  # fmt: skip


def test_the_joint_loss_by_hand():
    outputs = torch.tensor([[0.0, float(np.log(3)), 0.5], [0.0, 0.0, 0.1], [5.0, 0.0, 0.0]])
    label = torch.tensor([1, 0, -1])  # the last has no label, the second no value
    target = torch.tensor([[0.2], [-5.0], [0.4]])
    batch = {"input": outputs, "label": label, "target": target}
    classes, values = (np.log(4 / 3) + np.log(2)) / 2, (0.3**2 + 0.4**2) / 2
    assert float(joint().training_step(batch, 0)) == pytest.approx(classes + values)
    weighted = joint(class_weight=2.0, target_weight=10.0)
    assert float(weighted.training_step(batch, 0)) == pytest.approx(2 * classes + 10 * values)
    for lacking in ({"label": torch.tensor([-1, -1, -1])}, {"target": torch.full((3, 1), torch.nan)}):
        expected = values if "label" in lacking else classes
        assert float(joint().training_step(batch | lacking, 0)) == pytest.approx(expected)
    found = joint().predict_step(batch, 0)
    assert found[0].tolist() == pytest.approx([1 / 4, 3 / 4, 0.5])


def test_the_joint_curves_leave_out_what_is_not_known():
    def line_of(extra: list[dict]) -> dict:
        torch.manual_seed(0)
        task = JointTask(
            nn.Linear(6, 4), nn.CrossEntropyLoss(), ContinuousLoss(0, 1), sgd, NONE, num_classes=2, num_targets=2
        )
        fit(task, batches(32, 8), batches(20, 8) + extra)
        return task.history[-1]

    lone = {"input": torch.ones(3, 6), "label": torch.full((3,), -1), "target": torch.full((3, 2), torch.nan)}
    assert line_of([lone]) == line_of([])
    names = ["train_loss", "train_accuracy", "train_ccc", "val_loss", "val_accuracy", "val_uf1", "val_ccc", "val_rmse"]
    assert list(line_of([])) == ["epoch", "lr", *names]


class Net(nn.Module):
    """A trunk with batch norm and dropout, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.5))
        self.classifier = nn.Linear(8, 2)

    def forward(self, x):
        return self.classifier(self.features(x))


def classify(net: nn.Module, scheduler=NONE, **options) -> ClassificationTask:
    return ClassificationTask(net, nn.CrossEntropyLoss(), sgd, scheduler, num_classes=2, **options)


def test_a_metric_that_the_task_does_not_have_is_refused():
    with pytest.raises(ConfigError, match=r"'val_ccc' is no figure of this task; choose one of \['val_loss', 'val_acc"):
        fit(classify(Net()), batches(32, 8), batches(16, 8), callbacks=[BestValidationEpoch("val_ccc")])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["task=valence_arousal", "data=fer2013"], r"data=fer2013 names none"),
        (["data=affwild2_va", "loss=cross_entropy"], r"CrossEntropyLoss does not fit .* loss=mse, ccc or mse_ccc"),
        (["task=classification", "data=affwild2_va"], r"data=affwild2_va has no classes"),
        (["data=fer2013", "loss=ccc"], r"ContinuousLoss does not fit this task: choose loss=cross_entropy"),
        (["task=joint", "data=affwild2_va"], r"data=affwild2_va has no classes"),
    ],
)
def test_a_task_that_does_not_fit_the_data_is_refused_before_anything_is_read(overrides, message):
    with pytest.raises(ConfigError, match=message):
        run(configure("model=arch1", *overrides))


def test_the_loss_of_the_values_of_a_joint_task_is_an_option():
    assert configure("task=joint", "data=affwild2_va").task.target_loss.ccc == 0
    assert configure("task=joint", "data=affwild2_va", "loss@task.target_loss=ccc").task.target_loss.ccc == 1


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Run one cell of valence and arousal on synthetic frames; returns what `run` returned and the run folder."""
    root = tmp_path_factory.mktemp("valence")

    def start(*overrides: str) -> tuple[float, Path]:
        options = ["data=affwild2_va", "model=arch1", "debug=tiny", "trainer.max_epochs=3", "optimizer.lr=0.003"]
        cfg = configure(*options, f"paths.runs={root}", f"paths.cache={root}/cache", "data.builder.every=2", *overrides)
        return run(cfg), run_folder(cfg)

    return start


@pytest.mark.slow
def test_a_run_of_valence_and_arousal(tiny):
    value, out = tiny("task=valence_arousal", "loss=mse_ccc", "protocol.selection=oracle_test")
    table = read(out, "predictions/holdout.csv")
    assert list(table) == ["sample_id", "fold", "valence", "arousal", "predicted_valence", "predicted_arousal"]
    manifest = read(out, "manifest.csv").set_index("sample_id")
    assert np.allclose(table["valence"], manifest.loc[table["sample_id"], "valence"].astype(float))
    scores = (out / "scores.json").read_bytes()
    assert json.loads(scores)["ccc"] == value
    assert json.loads(scores)["honest"]["oracle_gap_ccc"] >= 0
    (out / "scores.json").unlink()
    write_scores(out)
    assert (out / "scores.json").read_bytes() == scores
    assert read(out, "curves/holdout.csv")["train_loss"].is_monotonic_decreasing
    assert (out / "figures" / "agreement.png").is_file()


@pytest.mark.slow
def test_a_run_of_classes_and_values(tiny):
    names = "data.classes=[anger,disgust,fear,happiness,sadness,surprise,other]"
    options = ["task=joint", "loss=cross_entropy", "data.builder.expressions=join", "protocol.metric=val_uf1"]
    value, out = tiny(names, *options)
    table = read(out, "predictions/holdout.csv")
    assert table.shape[1] == 2 + 2 + 7 + 4
    assert np.allclose(table.filter(like="p_").sum(axis=1), 1, atol=1e-6)
    scores = json.loads((out / "scores.json").read_text())
    assert value == pytest.approx((scores["uf1"] + scores["continuous"]["ccc"]) / 2)


def test_each_fold_goes_on_from_the_weights_of_the_same_fold(run_here, capsys):
    folds = ["samm-006", "smic-s01"]
    options = [f"protocol.only={folds}", "trainer.max_epochs=1", "trainer.save_weights=true"]
    first = run_here(*options, runs="first")
    assert sorted(file.stem for file in (first / "weights").iterdir()) == folds
    second = run_here(*options, f"model.weights={first}", "parts.freeze=[streams]", runs="second")
    for fold in folds:
        before, after = (load_file(out / "weights" / f"{fold}.safetensors") for out in (first, second))
        for name, tensor in before.items():
            assert torch.equal(tensor, after[name]) == name.startswith("streams"), (fold, name)
    fact = json.loads((second / "predictions" / f"{folds[0]}.json").read_text())["weights"]
    assert fact == weights.fingerprint(first / "weights" / f"{folds[0]}.safetensors")
    assert f"{folds[0]}.safetensors: loaded" in capsys.readouterr().err
    with pytest.raises(LeakError, match=rf"trained on \d+ sample_ids which fold {folds[0]} tests"):
        run_here(*options, f"model.weights={first}/weights/{folds[1]}.safetensors", runs="leak")


def test_weights_are_loaded_by_name_and_shape_and_said(tmp_path, capsys):
    torch.manual_seed(0)
    source, net = Net(), Net()
    net.classifier = nn.Linear(8, 3)
    net.extra = nn.Linear(2, 2)
    lightning = {"state_dict": {f"net.{name}": value for name, value in source.state_dict().items()}, "epoch": 3}
    torch.save(lightning, tmp_path / "last.ckpt")
    save_file(source.state_dict(), tmp_path / "net.safetensors")
    for name in ("last.ckpt", "net.safetensors"):
        fresh = {key: value.clone() for key, value in net.classifier.state_dict().items()}
        weights.load(net, tmp_path / name, frozen=["features"])
        for key, value in source.features.state_dict().items():
            assert torch.equal(net.features.state_dict()[key], value)
        assert all(torch.equal(net.classifier.state_dict()[key], value) for key, value in fresh.items())
        said = capsys.readouterr().err
        assert "loaded 7 of 11 tensors (features 7); of another shape, fresh: classifier 2; not in" in said
        assert "not in the file, fresh: extra 2" in said
    with pytest.raises(ConfigError, match=r"freeze=\['classifier'\], but 2 tensors there .* would stay random"):
        weights.load(net, tmp_path / "last.ckpt", frozen=["classifier"])
    save_file(nn.Sequential(*source.features, nn.Linear(9, 9)).state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(ConfigError, match=r"none of its 9 tensors \(.*of one of the network's 11"):
        weights.load(net, tmp_path / "other.safetensors")


class Trap:
    def __reduce__(self):
        return (Path.touch, (Path("sprung"),))


def test_a_file_that_would_run_code_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": Trap()}, "trap.pt")
    (tmp_path / "cut.safetensors").write_bytes(b"12345")
    for name in ("trap.pt", "cut.safetensors"):
        with pytest.raises(ConfigError, match=rf"{name} cannot be read as a table of tensors"):
            weights.read(tmp_path / name)
    assert not (tmp_path / "sprung").exists()
    with pytest.raises(ConfigError, match=r"expected a file, or a run folder with weights/holdout\..*found 0"):
        weights.find(tmp_path, "holdout")


def test_the_two_commands_that_the_config_shows_fit_each_other():
    text = (HOUSE / "conf" / "task" / "classification.yaml").read_text()
    commands = [line.split("train.py ")[1].split() for line in text.splitlines() if "python train.py" in line]
    assert len(commands) == 3
    one, *stages = [configure(*command) for command in commands]
    assert (one.model_name, earlier(one).model_name) == (stages[1].model_name, stages[0].model_name)
    assert stages[0].trainer.save_weights
    assert stages[1].model.weights == f"runs/{stages[0].run_name}"
    assert list(stages[1].parts.freeze) == ["features"]
