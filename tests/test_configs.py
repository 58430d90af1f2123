"""Every YAML of conf/ is used: found by listing the folder, so a new one is tested without touching this file."""

import inspect
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf

from fer_lightning.errors import ConfigError
from fer_lightning.functional.folds import holdout
from fer_lightning.run import check_options
from fer_lightning.sweep import choose_grid
from tests.runs import HOUSE, configure


def options(group: str) -> list[str]:
    return sorted(file.stem for file in (HOUSE / "conf" / group).glob("*.yaml"))


def targets(node: object) -> list[DictConfig]:
    """All nodes below `node` that name a `_target_`."""
    found = [node] if isinstance(node, DictConfig) and "_target_" in node else []
    children = node.values() if isinstance(node, DictConfig) else node if isinstance(node, ListConfig) else ()
    return found + [target for child in children for target in targets(child)]


GROUPS = ["loss", "optimizer", "scheduler", "parts", "augment", "mix", "views"]
GROUPS += ["protocol", "logger", "callbacks", "trainer", "task"]
CELLS = [[f"{group}={name}"] for group in GROUPS for name in options(group)]
CELLS += [["data=dfew", f"input={name}"] for name in options("input")]
CELLS += [[f"data={data}"] for data in options("data")] + [[f"model={model}"] for model in options("model")]


@pytest.mark.parametrize("cell", CELLS, ids=" ".join)
def test_every_target_takes_the_arguments_it_is_given(cell):
    """The class signature is the schema: a misspelt or missing key is found here, not in a cluster job."""
    ours = {
        "checkpoint_every",
        "checkpoint_minutes",
        "save_weights",
        "weights",
        "module",
        "module_after",
    }  # taken out before
    ours |= {"channels_last", "compile"}
    cfg = configure(*cell)
    OmegaConf.resolve(cfg)  # as --cfg job --resolve does
    for node in targets(cfg):
        function = get_object(node._target_)
        given = {key for key in node if not key.startswith("_")} - ours
        accepted = inspect.signature(function).parameters
        if not any(p.kind is p.VAR_KEYWORD for p in accepted.values()):
            assert given <= set(accepted), f"{node._target_} has no {sorted(given - set(accepted))}"
        if not node.get("_partial_"):
            needed = {
                name
                for name, p in accepted.items()
                if p.default is p.empty and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
            }
            joined_in_code = {"net", "loss", "optimizer", "scheduler"}
            assert needed - joined_in_code <= given, f"{node._target_} needs {sorted(needed - given)}"


@pytest.mark.parametrize("name", options("data"))
def test_every_data_set_goes_from_its_own_tiny_layout_to_batches(name, tmp_path):
    cfg = configure(f"data={name}", "debug=tiny", f"paths.runs={tmp_path}")
    data = instantiate(cfg.data)
    data.tiny(data.root)
    manifest = data.build()
    assert data.synthetic
    assert not data.classes or set(manifest["label"]) == set(data.classes), "the tiny set must hold every class"
    data.prepare(Path(cfg.paths.cache))
    made = (data.cache.folder / "array.npy").stat().st_mtime_ns
    data.prepare(Path(cfg.paths.cache))
    assert (data.cache.folder / "array.npy").stat().st_mtime_ns == made, "the cache was made twice"
    options = {} if cfg.protocol.inner_val is None else {"seed": 0, "inner_val": 0.0}
    folds = instantiate(cfg.protocol.folds)(manifest, **options)
    data.use_fold(folds[0], seed=0)
    batch = next(iter(data.loader("train")))
    low, high = data.pixel_range
    assert batch["input"].dtype == torch.float32
    assert tuple(batch["input"].shape[1:]) == data.recipe.shape == (len(data.channels), *data.recipe.shape[1:])
    assert low <= float(batch["input"].min()) < float(batch["input"].max()) <= high
    assert len(batch["sample_id"]) == len(batch["label"]) == len(batch["input"])
    rows = manifest.set_index("sample_id").loc[batch["sample_id"]]
    if data.classes:
        assert [data.classes[i] for i in batch["label"]] == rows["label"].tolist()
    if data.targets:
        assert torch.equal(batch["target"], torch.tensor(rows[data.targets].to_numpy(np.float32)))
    assert data.classes or data.targets, "nothing to learn"


def test_one_synthetic_part_makes_a_composite_synthetic(tmp_path):
    data = instantiate(configure("data=megc2019", "debug=tiny", f"paths.runs={tmp_path}").data)
    data.tiny(data.root)
    (data.root / "SYNTHETIC.txt").unlink()  # as if three real folders lay there ...
    (data.root / "samm" / "SYNTHETIC.txt").touch()  # ... and one was written by `write_tiny`
    data.build()
    assert data.synthetic


def test_a_sample_equals_its_place_in_the_batch(tmp_path):
    data = instantiate(configure("data=fer2013", "debug=tiny", f"paths.runs={tmp_path}").data)
    data.tiny(data.root)
    data.build()
    data.prepare(tmp_path / "cache")
    data.use_fold(holdout(data.manifest)[0], seed=0)
    dataset = data.loader("test").dataset
    batch, sample = dataset.__getitems__([3, 1]), dataset[1]
    assert torch.equal(batch["input"][1], sample["input"])
    assert (batch["label"][1], batch["sample_id"][1]) == (sample["label"], sample["sample_id"])


@pytest.mark.parametrize("model", options("model"))
def test_every_model_reads_some_data_set(model):
    inputs = [["data=dfew", f"input={name}"] for name in options("input")]
    pose = ["data=affwild2_va", "input=openpose_json"]
    joint = [*pose, "data.classes=[happiness,anger]", "task=joint", "loss=cross_entropy"]
    first = [["data=fer2013"], ["data=megc2019_flow"], *inputs, pose, joint]  # most models need not look further
    assert any(fits(model, cell) for cell in [*first, *([f"data={data}"] for data in options("data"))])


def fits(model: str, cell: list[str]) -> bool:
    try:
        check_options(configure(f"model={model}", *cell))
    except ConfigError:
        return False
    return True


def test_a_paper_gives_its_settings_and_the_command_line_wins():
    cfg = configure("model=ststnet", "data=megc2019_flow")
    assert (cfg.optimizer.lr, cfg.data.batch_size, cfg.trainer.max_epochs) == (5e-5, 256, 800)
    assert cfg.protocol.name == "loso"
    assert cfg.protocol.selection == "last"
    assert list(cfg.data.pixel_range) == [0.0, 255.0]
    other = configure("model=ststnet", "data=megc2019_flow", "optimizer=sgd")
    assert other.optimizer.lr == 0.01, "the paper's lr belongs to the paper's optimizer"
    assert configure("model=ststnet", "data=megc2019_flow", "optimizer.lr=1").optimizer.lr == 1


@pytest.mark.parametrize("model", ["dspp", "wspp", "daspp", "waspp"])
def test_a_pyramid_model_brings_its_placement_study(model):
    with initialize_config_dir(str(HOUSE / "conf"), version_base="1.3"):
        full = compose("config", [f"model={model}", "data=casme2"], return_hydra_config=True)
    assert dict(full.hydra.sweeper.params) == {"model.position": "conv1,conv2", "model.branches": "2,3,4,5"}


@pytest.mark.parametrize(
    ("typed", "run"),
    [
        ("model=waspp -m", "-m model=waspp"),
        ("model=waspp -m seed=1", "-m model=waspp seed=1"),
        ("model=waspp optimizer=sgd,adam -m", "-m model=waspp optimizer=sgd,adam sweep=none"),
        ("-m model=waspp model.branches=range(2,4)", "-m model=waspp model.branches=range(2,4) sweep=none"),
        ("model=waspp protocol=loso_jobs --multirun", "-m model=waspp protocol=loso_jobs sweep=none"),
        ("model=waspp optimizer=sgd,adam sweep=placement -m", "-m model=waspp optimizer=sgd,adam sweep=placement"),
        ("model=waspp optimizer=sgd,adam", "model=waspp optimizer=sgd,adam"),
        ("model=waspp data.classes=[a,b] -m", "-m model=waspp data.classes=[a,b]"),
    ],
)
def test_the_default_grid_gives_way_to_a_grid_of_the_user(typed, run):
    assert choose_grid(typed.split()) == run.split()
