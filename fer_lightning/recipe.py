"""Which optimizers, schedulers and trainers do not go together, said before anything is trained."""

from omegaconf import DictConfig

from fer_lightning.errors import ConfigError


def check_recipe(cfg: DictConfig) -> None:
    """Refuse pairs that would run and do something else than they say.

    Raises:
        ConfigError: names the pair, why, and what to choose.
    """
    optimizer = cfg.optimizer._target_.rpartition(".")[2].lower()
    base = cfg.optimizer.get("base", cfg.optimizer)
    scheduler = cfg.scheduler.scheduler
    if optimizer == "ranger21":
        if scheduler is not None:
            raise ConfigError(
                "optimizer=ranger21 brings its own warm-up and warm-down; a second scheduler "
                f"({_name(scheduler)}) would multiply with them. Choose scheduler=none, or optimizer=ranger"
            )
        if cfg.parts.lr_factor:
            raise ConfigError(
                "optimizer=ranger21 ends with one learning rate for all parts: leave parts.lr_factor out, or choose "
                "optimizer=ranger"
            )
    if optimizer == "sam":
        if cfg.trainer.precision == "16-mixed":
            raise ConfigError(
                "optimizer=sam takes two passes a step, which the loss scaling of trainer.precision=16-mixed does not "
                "know: choose bf16-mixed"
            )
        if cfg.trainer.get("accumulate_grad_batches", 1) > 1:
            raise ConfigError(
                "optimizer=sam repeats the last batch of a step only: trainer.accumulate_grad_batches must be 1"
            )
    check_batches(cfg)
    if scheduler is not None and scheduler.get("cycle_momentum") and not _has_momentum(base):
        raise ConfigError(
            f"scheduler.scheduler.cycle_momentum=true cycles the momentum, and {_name(base)} has none: "
            "scheduler.scheduler.cycle_momentum=false cycles the learning rate alone"
        )


def check_batches(cfg: DictConfig) -> None:
    """Refuse mixtures and draws that the data or the task give no meaning to."""
    if cfg.get("mix"):
        if _name(cfg.task) != "ClassificationTask":
            raise ConfigError(
                f"mix={_name(cfg.mix).lower()} mixes targets that are shares of classes; {_name(cfg.task)} also has "
                "values, some of them not annotated. Choose task=classification or distribution, or leave mix out"
            )
        if str(cfg.data.kind).startswith("pose"):
            raise ConfigError(
                f"mix={_name(cfg.mix).lower()} mixes pictures; data={cfg.data.name} holds {cfg.data.kind} arrays, "
                "where a share of one person's key points and of another's is no person. Leave mix out"
            )
    if cfg.data.sampling == "balanced" and not cfg.data.classes:
        raise ConfigError(f"data.sampling=balanced draws classes alike; data={cfg.data.name} has none (data.classes)")


def _name(node: DictConfig) -> str:
    return node._target_.rpartition(".")[2]


def _has_momentum(optimizer: DictConfig) -> bool:
    """Whether torch's OneCycleLR finds a momentum or betas to cycle."""
    return _name(optimizer) != "Adadelta" and optimizer.get("momentum", 1) != 0
