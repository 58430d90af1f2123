"""Optimizers and schedulers: steps by hand, the logged learning rate, resuming, pairs that are refused."""

import math
from functools import partial

import pytest
import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader

from fer_lightning.errors import ConfigError
from fer_lightning.recipe import check_recipe
from fer_lightning.run import check_options
from fer_lightning.tasks.classification import ClassificationTask
from fer_lightning.tasks.optimizers import sam
from fer_lightning.tasks.schedulers import one_cycle
from tests.runs import HOUSE, configure, predictions, read
from tests.training.test_tasks import batches

OPTIMIZERS = sorted(file.stem for file in (HOUSE / "conf/optimizer").glob("*.yaml"))
SCHEDULERS = sorted(file.stem for file in (HOUSE / "conf/scheduler").glob("*.yaml"))


def train(*overrides: str, epochs: int = 4, net: nn.Module | None = None, callbacks=(), resume=None):
    """A task trained on 32 samples in batches of 8 with the optimizer and scheduler of a config."""
    cfg = configure("data=fer2013", "model=arch1", f"trainer.max_epochs={epochs}", *overrides)
    check_options(cfg)
    return train_with(cfg, net, callbacks, resume)


def train_with(cfg: DictConfig, net: nn.Module | None = None, callbacks=(), resume=None, samples: int = 32):
    torch.manual_seed(0)
    net = net or nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))
    scheduler = dict(instantiate(cfg.scheduler))
    if scheduler.get("monitor"):
        scheduler["monitor"] = "train_loss"
    task = ClassificationTask(
        net, nn.CrossEntropyLoss(), instantiate(cfg.optimizer), scheduler, num_classes=2, parts=instantiate(cfg.parts)
    )
    trainer = pl.Trainer(
        max_epochs=cfg.trainer.max_epochs, accelerator="cpu", logger=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=list(callbacks), enable_checkpointing=bool(callbacks),
    )  # fmt: skip
    trainer.fit(task, DataLoader(batches(samples, 8), batch_size=None), ckpt_path=resume, weights_only=True)
    return task


@pytest.fixture(scope="module")
def configs() -> dict[tuple[str, str], DictConfig]:
    """A whole config for each choice of `conf/optimizer` and of `conf/scheduler`, of a training of one epoch."""
    choices = [("optimizer", name) for name in OPTIMIZERS] + [("scheduler", name) for name in SCHEDULERS]
    base = ["data=fer2013", "model=arch1", "trainer.max_epochs=1"]
    return {(group, name): configure(*base, f"{group}={name}") for group, name in choices}


#: What `check_recipe` refuses; all other pairs are run.
REFUSED = {("adadelta", "onecycle"), *(("ranger21", name) for name in SCHEDULERS if name != "none")}


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_pair_of_optimizer_and_scheduler_takes_its_steps_or_is_refused(configs, optimizer, scheduler):
    cfg = configs["optimizer", optimizer].copy()
    cfg.scheduler = configs["scheduler", scheduler]._get_node("scheduler")
    if (optimizer, scheduler) in REFUSED:
        with pytest.raises(ConfigError):
            check_recipe(cfg)
        return
    check_recipe(cfg)
    task = train_with(cfg, nn.Linear(6, 2), samples=40)
    assert task.trainer.global_step == 5
    assert task.net.weight.isfinite().all()


@pytest.mark.parametrize(
    ("base", "key"), [(partial(torch.optim.SGD, momentum=0.9), "momentum"), (torch.optim.AdamW, "betas")]
)
def test_a_cycle_turns_the_momentum_of_the_optimizer_inside_sam(base, key):
    def cycled(make) -> list:
        optimizer, found = make([nn.Parameter(torch.ones(1))], lr=0.1), []
        cycle = one_cycle(optimizer, 10, pct_start=0.3, div_factor=25, final_div_factor=1e4, cycle_momentum=True)
        for _ in range(10):
            found.append(getattr(optimizer, "base_optimizer", optimizer).param_groups[0][key])
            optimizer.param_groups[0]["params"][0].grad = torch.ones(1)
            optimizer.step(lambda: None)
            cycle.step()
        return found

    plain = cycled(base)
    assert len(set(plain)) > 5
    assert cycled(partial(sam, base=base, rho=0.05, adaptive=False)) == plain


def rates(*overrides: str, epochs: int = 4) -> list[float]:
    return [line["lr"] for line in train(*overrides, epochs=epochs).history]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_learns_and_a_resumed_training_ends_with_the_same_weights(optimizer, tmp_path):
    options = [f"optimizer={optimizer}", "optimizer.lr=0.05"]
    options += ["scheduler=cosine"] if optimizer != "ranger21" else ["optimizer.warm_down_min_lr=0.001"]
    whole = train(*options, epochs=12)
    keeper = ModelCheckpoint(tmp_path, filename="half", every_n_epochs=7, save_top_k=-1)
    train(*options, epochs=12, callbacks=[keeper])
    again = train(*options, epochs=12, resume=tmp_path / "half.ckpt")
    for name, tensor in whole.net.state_dict().items():
        assert torch.equal(tensor, again.net.state_dict()[name]), name
    assert whole.history == again.history
    assert len(whole.history) == 12
    assert whole.history[-1]["train_loss"] < whole.history[0]["train_loss"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "pair",
    [f"optimizer={name}" for name in OPTIMIZERS] + [f"scheduler={name}" for name in SCHEDULERS],
)
def test_every_optimizer_and_every_scheduler_runs_a_fold(run_here, pair):
    out = run_here(pair, "protocol.only=[samm-006]")
    assert len(read(out, "curves/samm-006.csv")) == 3
    assert len(predictions(out)) == 1


def test_the_logged_rate_is_that_of_the_epochs_own_steps():
    lr = "optimizer.lr=0.1"
    assert rates(lr) == pytest.approx([0.1] * 4)
    cosine = [0.1 * (1 + math.cos(math.pi * epoch / 4)) / 2 for epoch in range(4)]
    assert rates(lr, "scheduler=cosine") == pytest.approx(cosine)
    assert rates(lr, "scheduler=step", "scheduler.scheduler.step_size=2") == pytest.approx([0.1, 0.1, 0.01, 0.01])
    assert rates(lr, "scheduler=exponential") == pytest.approx([0.1 * 0.95**epoch for epoch in range(4)])


def test_rates_that_change_step_by_step_are_those_of_the_last_step():
    # 16 steps, the first 4 up: the steps of an epoch are 4k .. 4k + 3
    warm = rates("optimizer.lr=0.1", "scheduler=warmup_cosine", "scheduler.scheduler.warmup=0.25")
    down = [0.1 * (1 + math.cos(math.pi * step / 12)) / 2 for step in (3, 7, 11)]
    assert warm == pytest.approx([0.1 * (0.01 + 0.99 * 3 / 4), *down])
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        torch.optim.SGD([nn.Parameter(torch.zeros(1))], momentum=0.9), 0.1, total_steps=16
    )
    expected = []
    for _ in range(16):
        expected.append(cycle.get_last_lr()[0])
        cycle.optimizer.step()
        cycle.step()
    assert rates("optimizer=sgd", "optimizer.lr=0.1", "scheduler=onecycle") == pytest.approx(expected[3::4])


def test_a_plateau_lowers_the_rate():
    options = ["scheduler=plateau", "scheduler.scheduler.patience=0", "+scheduler.scheduler.threshold=1e9"]
    # nothing is ever 1e9 times better: from the second look on each epoch lowers the rate
    found = rates("optimizer=sgd", "optimizer.lr=0.1", *options, "+scheduler.scheduler.threshold_mode=abs")
    assert found == pytest.approx([0.1, 0.1, 0.01, 0.001])


def test_a_plateau_loses_no_step_where_a_training_is_resumed(tmp_path):
    options = ["optimizer=sgd", "optimizer.lr=0.1", "scheduler=plateau", "scheduler.scheduler.patience=0"]
    options += ["+scheduler.scheduler.threshold=1e9", "+scheduler.scheduler.threshold_mode=abs"]
    keeper = ModelCheckpoint(tmp_path, filename="{epoch}", every_n_epochs=1, save_top_k=-1)
    whole = train(*options, epochs=7, callbacks=[keeper])
    for stopped in (0, 1, 4):
        again = train(*options, epochs=7, resume=tmp_path / f"epoch={stopped}.ckpt")
        assert again.history == whole.history
        states = [task.trainer.lr_scheduler_configs[0].scheduler.state_dict() for task in (whole, again)]
        assert states[0] == states[1]


@pytest.mark.parametrize("factor", ["0", "-1", ".inf", "fast"])
def test_a_factor_that_is_no_factor_is_refused(factor):
    with pytest.raises(ConfigError, match=r"parts\.lr_factor\.2=.*expected a number above 0.*parts\.freeze=\[2\]"):
        train(f"+parts.lr_factor.2={factor}", "scheduler=cosine")


def test_ranger21_shows_its_own_schedule():
    # 16 steps; 2 / (1 - .999) is more than 45 % of them, so 22 % warm up: 3; the last half warms down in 8 + 1 parts,
    # the first of which is taken at step 8, the last of epoch 2
    found = rates(
        "optimizer=ranger21", "optimizer.lr=0.1", "optimizer.warm_down_start=0.5", "optimizer.warm_down_min_lr=0.01"
    )
    down = [0.1 - 0.09 * part / 9 for part in (1, 5, 9)]
    assert found == pytest.approx([0.1, *down])


class Square(nn.Module):
    """Loss w^2 / 2 of one weight, so the gradient is w."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([1.0]))

    def forward(self, x):
        return self.w.expand(len(x), 1)


class Half(nn.Module):
    def forward(self, values, labels):
        return (values**2).mean() / 2


def steps(optimizer: str, *overrides: str, number: int) -> float:
    cfg = configure("data=fer2013", "model=arch1", f"optimizer={optimizer}", "optimizer.lr=0.1", *overrides)
    task = ClassificationTask(Square(), Half(), instantiate(cfg.optimizer), {"scheduler": None}, num_classes=1)
    trainer = pl.Trainer(
        max_steps=number, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False,
    )  # fmt: skip
    data = [{"input": torch.zeros(2, 1), "label": torch.zeros(2, dtype=torch.long)}] * number
    trainer.fit(task, DataLoader(data, batch_size=None))
    assert task.history[-1]["train_loss"] <= 0.5, "the second pass of SAM counts in the curves"
    return task.net.w.item()


def test_steps_by_hand():
    plain = ["optimizer.base.momentum=0.0"]
    # SAM: the gradient is taken at w + rho = 1.05
    assert steps("sam", *plain, number=1) == pytest.approx(1 - 0.1 * 1.05)
    # look-ahead with k = 2: two steps to .81, then back half the way to 1
    slow = steps("lookahead_sgd", *plain, "optimizer.k=2", number=2)
    assert slow == pytest.approx(1 + 0.5 * (0.81 - 1))
    # Nesterov: velocity 1, step 1 + .9
    assert steps("sgd_nesterov", number=1) == pytest.approx(1 - 0.1 * 1.9)
    # Adam and AdamW: the first step is the rate; decoupled decay is rate * decay of the weight
    assert steps("adamw", "optimizer.weight_decay=0.5", number=1) == pytest.approx(1 - 0.1 * 0.5 - 0.1)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["optimizer=ranger21", "scheduler=cosine"], "brings its own warm-up and warm-down; a second scheduler"),
        (["optimizer=ranger21", "+parts.lr_factor.features=0.1"], "leave parts.lr_factor out"),
        (["optimizer=adadelta", "scheduler=onecycle"], "cycles the momentum, and Adadelta has none"),
        (["optimizer=sgd", "optimizer.momentum=0.0", "scheduler=onecycle"], "and SGD has none"),
        (["optimizer=sam", "trainer.precision=16-mixed"], "choose bf16-mixed"),
        (["optimizer=sam", "trainer.accumulate_grad_batches=2"], "must be 1"),
    ],
)
def test_pairs_that_would_do_something_else_are_refused(overrides, message):
    with pytest.raises(ConfigError, match=message):
        check_options(configure("data=fer2013", "model=arch1", *overrides))


def test_adadelta_cycles_without_momentum():
    overrides = ["optimizer=adadelta", "scheduler=onecycle", "scheduler.scheduler.cycle_momentum=false"]
    assert len(set(rates(*overrides))) == 4


def test_ranger21_is_refused_where_its_schedule_would_raise_the_rate():
    with pytest.raises(ConfigError, match=r"which is above optimizer\.lr=1e-05"):
        train("optimizer=ranger21", "optimizer.lr=1e-5")


def test_a_papers_weight_decay_belongs_to_its_optimizer():
    options = ["data=fer2013", "model=vggspinalnet"]
    assert configure(*options, "optimizer=ranger21").optimizer.weight_decay == 5e-4
    assert configure(*options, "optimizer=adam").optimizer.weight_decay == 0.0
    for optimizer in ("adam", "radam", "sgd"):  # CAMNet's holds for all
        assert configure("data=fer2013", "model=camnet", f"optimizer={optimizer}").optimizer.weight_decay == 1e-4
