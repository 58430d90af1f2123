"""Grad-CAM against numbers made by hand, and whole explanations of a finished run."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from captum.attr import LayerGradCam
from hydra.utils import instantiate
from omegaconf import OmegaConf
from safetensors.torch import load_file
from torch import nn

from fer_lightning.errors import ConfigError
from fer_lightning.explain import main
from fer_lightning.explaining.choice import choose, class_means, limit, named
from fer_lightning.explaining.finished import FinishedRun
from fer_lightning.explaining.gradcam import feature_maps, find_layers, grad_cam, named_layers, ready
from fer_lightning.explaining.write import explain
from fer_lightning.models.arch1 import Arch1
from fer_lightning.models.dual_inception import DualInception
from fer_lightning.models.frame_transformer import FrameTransformer
from fer_lightning.models.gru import FrameGRU
from fer_lightning.models.htnet import HTNet
from fer_lightning.models.modules.frame_encoders import FaceEncoder
from fer_lightning.models.random_guess import RandomGuess
from fer_lightning.models.resnet18 import resnet18
from fer_lightning.models.ststnet import STSTNet
from fer_lightning.models.timm_backbone import timm_backbone
from tests.runs import SMALL, configure

CLASSES = ["a", "b"]
ENCODER = ["encoder.layers.2", "encoder.layers.6", "encoder.layers.10", "encoder.layers"]


class Average(nn.Module):
    """Maps, their mean, a linear layer: its Grad-CAM can be written down."""

    def __init__(self, maps: nn.Module, channels: int) -> None:
        super().__init__()
        self.maps, self.head = maps, nn.Linear(channels, 2)

    def forward(self, x):
        return self.head(self.maps(x).mean((2, 3)))


def test_the_map_of_a_convolution_and_a_mean_is_known():
    """The gradient of logit c is w_ck / 9 in each of 9 pixels of map k, so the map is relu(sum of w_ck * A_k) / 9."""
    net = Average(nn.Conv2d(1, 2, 1), 2)
    with torch.no_grad():
        net.maps.weight.copy_(torch.tensor([1.0, -2.0]).view(2, 1, 1, 1))  # A_1 = x + 1, A_2 = -2 x
        net.maps.bias.copy_(torch.tensor([1.0, 0.0]))
        net.head.weight.copy_(torch.tensor([[3.0, 1.0], [0.0, 2.0]]))
    x = torch.arange(9.0).view(1, 1, 3, 3) - 4
    found = grad_cam(ready(net), {"maps": net.maps}, x.repeat(2, 1, 1, 1), torch.tensor([0, 1]))
    assert torch.allclose(found[0], (3 * (x[0, 0] + 1) - 2 * x[0, 0]).relu() / 9, atol=1e-6)
    assert torch.allclose(found[1], (2 * -2 * x[0, 0]).relu() / 9, atol=1e-6)
    assert find_layers(net, x[:1]) == {"maps": net.maps}


class Streams(nn.Module):
    def __init__(self, joined: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two, self.join = nn.Conv2d(1, 2, 3), nn.Conv2d(1, 3, 3), nn.Identity()
        self.head, self.joined = nn.Linear(5 * 36, 2), joined

    def forward(self, x):
        maps = [self.one(x), self.two(x)]
        if self.joined:
            return self.head(self.join(torch.cat(maps, dim=1)).flatten(1))
        return self.head(torch.cat([part.flatten(1) for part in maps], dim=1))


def test_of_parallel_streams_all_are_explained_as_if_they_were_joined():
    inputs, targets = torch.randn(4, 1, 8, 8), torch.tensor([0, 1, 0, 1])
    together, apart = ready(Streams(joined=True)), ready(Streams(joined=False))
    layers = find_layers(apart, inputs[:1])
    assert list(layers) == ["one", "two"]
    assert list(find_layers(together, inputs[:1])) == ["join"]
    wanted = LayerGradCam(together, together.join).attribute(inputs, targets, relu_attributions=True)[:, 0]
    assert torch.allclose(grad_cam(apart, layers, inputs, targets), wanted, atol=1e-7)


@pytest.mark.parametrize(
    ("make", "shape", "layers", "stages"),
    [
        (STSTNet, (3, 28, 28), ["pool"], ["streams.2.2", "streams.2", "pool"]),
        (DualInception, (2, 28, 28), ["u.3", "v.3"], ["v.0", "v.2", "v.3"]),
        (Arch1, (1, 48, 48), ["head"], ["stem.10", "stem", "shortcut", "head"]),
        (lambda: resnet18(1, 2), (1, 32, 32), ["layer4"], ["layer1", "layer2", "layer3", "layer4"]),
        (lambda: HTNet(channels=12), (3, 28, 28), ["levels.1.conv"], ["embed"]),  # not what makes (N, H, W, C)
        (lambda: FrameGRU(FaceEncoder(1, 16)), (1, 4, 32, 32), ["encoder.layers"], ENCODER),
    ],
    ids=["ststnet", "dual_inception", "arch1", "resnet18", "htnet", "gru_face"],
)
def test_the_last_maps_of_networks(make, shape, layers, stages):
    torch.manual_seed(0)
    net, sample = ready(make()), torch.rand(1, *shape)
    found = find_layers(net, sample)
    assert list(found) == layers
    maps = grad_cam(net, found, sample, torch.tensor([1]))
    assert maps.ndim == len(shape)
    assert min(maps.shape[-2:]) >= 3
    assert (maps >= 0).all()
    shown = feature_maps(net, sample)
    assert list(shown) == stages
    assert len({found.shape[-1] for found in shown.values()}) == len(stages)


def test_a_clip_has_a_map_for_each_of_its_frames():
    torch.manual_seed(0)
    net = ready(FrameTransformer(FaceEncoder(1, 16), num_classes=2, frames=4, heads=2, layers=1))
    clip = torch.rand(2, 1, 3, 32, 32)
    layers = find_layers(net, clip[:1])
    maps = grad_cam(net, layers, clip, torch.tensor([0, 1]))
    assert maps.shape == (2, 3, 4, 4)
    alone = torch.cat([grad_cam(net, layers, clip[n : n + 1], torch.tensor([n])) for n in range(2)])
    assert torch.allclose(maps, alone, atol=1e-7)
    assert maps.amax(dim=(2, 3)).std() > 0


def test_patches_of_a_vision_transformer_lie_where_they_were_cut():
    torch.manual_seed(0)
    net = ready(timm_backbone("vit_tiny_patch16_224", 1, 2, 64))
    inputs, kept = torch.rand(2, 1, 64, 64), []
    layers = find_layers(net, inputs[:1])
    assert list(layers) == ["blocks.11.norm1"]
    found = grad_cam(net, layers, inputs, torch.tensor([0, 1]))
    hook = net.blocks[11].norm1.register_forward_hook(lambda *call: kept.append(call[2].requires_grad_()))
    logits = net(inputs)
    hook.remove()
    (tokens,) = kept
    (gradient,) = torch.autograd.grad(logits[0, 0] + logits[1, 1], tokens)
    each = (gradient[:, 1:].mean(dim=1, keepdim=True) * tokens[:, 1:]).sum(dim=2).relu()
    assert torch.allclose(found, each.unflatten(1, (4, 4)), atol=1e-7)
    assert found.max() > 0


def test_what_has_no_maps_is_refused():
    sample = torch.rand(1, 1, 16, 16)
    with pytest.raises(ConfigError, match="does not depend on the picture"):
        find_layers(ready(RandomGuess(2)), sample)
    with pytest.raises(ConfigError, match="found none"):
        find_layers(ready(nn.Sequential(nn.Flatten(), nn.Linear(256, 2))), sample)
    with pytest.raises(ConfigError, match="tokens that this command cannot lay out"):
        find_layers(ready(timm_backbone("mixer_s32_224", 1, 2, 224)), torch.rand(1, 1, 224, 224))
    net = ready(Average(nn.Sequential(nn.Conv2d(1, 2, 1), nn.MaxPool2d(2)), 2))
    with pytest.raises(ConfigError, match="no layer of Average"):
        named_layers(net, ["maps.7"], sample)
    with pytest.raises(ConfigError, match="makes no map"):
        named_layers(net, ["head"], sample)
    with pytest.raises(ConfigError, match="must have one size"):
        named_layers(net, ["maps.0", "maps.1"], sample)


def test_a_network_that_reads_one_corner_looks_there():
    """Stripes in the top left corner decide, upright or lying; everything else is noise."""
    torch.manual_seed(0)
    labels = torch.arange(80) % 2
    x = 0.05 * torch.randn(80, 1, 24, 24)
    stripes = (torch.arange(8) % 2).float().expand(8, 8) - 0.5
    x[labels == 0, 0, :8, :8] += stripes
    x[labels == 1, 0, :8, :8] += stripes.T
    maps = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.ReLU(), nn.MaxPool2d(4))
    net = Average(maps, 8)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x[:40]), labels[:40]).backward()
        optimizer.step()
    predicted = ready(net)(x[40:]).argmax(dim=1)
    table = pd.DataFrame({name: np.array(CLASSES)[value] for name, value in
                          {"label": labels[40:], "predicted": predicted}.items()})  # fmt: skip
    assert (table["label"] == table["predicted"]).all()
    means = class_means(grad_cam(net, find_layers(net, x[:1]), x[40:], predicted).numpy(), table, CLASSES)
    for name in CLASSES:
        assert means[name]["all"]["samples"] == 20
        assert means[name]["all"]["map"][:2, :2].sum() > 0.7, "4 of 36 pixels hold the corner"
        assert means[name]["wrong"] == {"samples": 0, "empty": 0, "map": None}


def predictions() -> pd.DataFrame:
    """10 of class a, 3 of them mistaken; 4 of class b, none mistaken."""
    labels = ["a"] * 10 + ["b"] * 4
    predicted = ["b"] * 3 + ["a"] * 7 + ["b"] * 4
    return pd.DataFrame({"sample_id": [f"s{n}" for n in range(14)], "label": labels, "predicted": predicted})


def test_samples_are_drawn_half_right_half_wrong():
    table = predictions()
    found = choose(table, CLASSES, 4, seed=0)
    assert found["label"].tolist() == ["a"] * 4 + ["b"] * 4
    assert (found["label"] == found["predicted"]).tolist() == [True, True, False, False, *[True] * 4]
    many = choose(table, CLASSES, 8, seed=0)
    assert (many["label"] != many["predicted"]).sum() == 3, "all mistakes there are"
    assert len(many) == 8 + 4
    assert choose(table, CLASSES, 4, seed=0).equals(found)
    assert not choose(table, CLASSES, 4, seed=1).equals(found)
    assert limit(table, CLASSES, 3, seed=0)["label"].tolist() == ["a"] * 3 + ["b"] * 3
    assert named(table, ["s9", "s2"])["sample_id"].tolist() == ["s9", "s2"]
    with pytest.raises(ConfigError, match=r"\['s77'\].*did not test"):
        named(table, ["s9", "s77"])


def test_each_sample_counts_alike_in_the_mean_and_empty_maps_are_counted():
    table = pd.DataFrame({"label": ["a", "a", "a"], "predicted": ["a", "b", "a"]})
    maps = np.array([[[1.0, 3.0]], [[20.0, 0.0]], [[0.0, 0.0]]])
    means = class_means(maps, table, CLASSES)
    assert means["a"]["all"]["map"].tolist() == [[0.625, 0.375]]
    assert means["a"]["right"]["map"].tolist() == [[0.25, 0.75]]
    assert (means["a"]["right"]["samples"], means["a"]["right"]["empty"]) == (1, 1)
    assert means["a"]["wrong"]["map"].tolist() == [[1.0, 0.0]]
    assert means["b"]["all"] == {"samples": 0, "empty": 0, "map": None}


@pytest.fixture(scope="module")
def finished(tiny_raw, tmp_path_factory):
    """A run of 9 folds with weights, whose predictions are the mean of two views."""
    from fer_lightning.identity import run_folder
    from fer_lightning.run import run

    with pytest.MonkeyPatch.context() as patch:
        for name, folder in {
            "RAW": tiny_raw,
            "CACHE": tiny_raw / "cache",
            "RUNS": tmp_path_factory.mktemp("runs"),
        }.items():
            patch.setenv(f"FER_{name}", str(folder))
        options = ["trainer.max_epochs=2", "trainer.save_weights=true", "views=flip"]
        cfg = configure(*[text for text in SMALL if text != "debug=tiny"], *options)
        run(cfg)
        return run_folder(cfg)


@pytest.fixture
def copied(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


@pytest.mark.slow
def test_the_command_writes_the_same_bytes_again(copied, capsys):
    names = ["grad_cam.png", "feature_maps.png", "grad_cam_classes.png", "explain.json"]
    command = [str(copied), "--samples", "1"]
    assert main(command) == 0
    assert [line.rsplit("/")[-1] for line in capsys.readouterr().out.split()] == names
    first = [(copied / "figures" / name).read_bytes() for name in names]
    assert main(command) == 0
    assert [(copied / "figures" / name).read_bytes() for name in names] == first
    report = json.loads(first[-1])
    assert report["layers"] == ["pool"]
    assert report["synthetic"]
    assert report["checked"]["samples"] == len(pd.read_csv(copied / "manifest.csv"))
    assert report["checked"]["largest_difference"] <= 1e-4
    for groups in report["classes"].values():
        assert groups["all"]["samples"] == groups["right"]["samples"] + groups["wrong"]["samples"]
        assert np.sum(groups["all"]["map"]) == pytest.approx(1, abs=0.002)
    ids = [row["sample_id"] for row in report["samples"]]
    assert len(ids) == 3
    assert (
        main([str(copied), "--ids", ids[1], "--layer", "streams.0.3", "--target", "label", "--classes-from", "1"]) == 0
    )
    again = json.loads((copied / "figures" / "explain.json").read_text())
    assert [row["sample_id"] for row in again["samples"]] == [ids[1]]
    assert again["layers"] == ["streams.0.3"]
    assert np.shape(again["classes"]["negative"]["all"]["map"] or np.zeros((10, 10))) == (10, 10)


@pytest.mark.slow
def test_a_sample_is_explained_by_the_network_of_the_fold_that_tested_it(finished):
    run = FinishedRun(finished)
    sample = run.table.iloc[0]
    run.load(sample["fold"])
    run.use(sample["fold"], [sample["sample_id"]])
    _, inputs = next(run.batches())
    layers = find_layers(run.net, inputs)
    maps, _ = explain(run, layers, run.table, "predicted")
    target = torch.tensor([run.pool.classes.index(sample["predicted"])])

    def by(fold: str) -> np.ndarray:
        net = instantiate({"_target_": "fer_lightning.models.ststnet.STSTNet"})
        net.load_state_dict(load_file(finished / "weights" / f"{fold}.safetensors"))
        return grad_cam(ready(net), {"pool": net.pool}, inputs, target).numpy()

    assert np.allclose(maps[sample["sample_id"]], by(sample["fold"]), atol=1e-7)
    others = [by(fold) for fold in run.table["fold"].unique() if fold != sample["fold"]]
    assert not any(np.allclose(maps[sample["sample_id"]], other, atol=1e-3) for other in others)


@pytest.mark.slow
def test_weights_of_another_fold_are_refused(copied):
    one, two = sorted((copied / "weights").glob("*.safetensors"))[:2]
    content = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(content)
    run = FinishedRun(copied)
    rows = run.table[run.table["fold"] == one.stem]
    run.load(one.stem)
    run.use(one.stem, rows["sample_id"])
    with pytest.raises(ConfigError, match=rf"does not give predictions/{one.stem}.csv"):
        run.check(one.stem, rows)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data.kind": "pose_clip"}, "holds key points"),
        ({"protocol.selection": "oracle_test"}, "weights are of the last epoch"),
        ({}, r"expected the weights of each of 9 folds, 1 are missing.*trainer.save_weights=true"),
    ],
)
def test_runs_that_cannot_be_explained_say_why(copied, change, message, capsys):
    cfg = OmegaConf.load(copied / "config.yaml")
    for key, value in change.items():
        OmegaConf.update(cfg, key, value)
    OmegaConf.save(cfg, copied / "config.yaml")
    if "protocol.selection" in change:
        for file in (copied / "predictions").glob("*.json"):
            file.write_text(file.read_text().replace('"selection": "last"', '"selection": "oracle_test"'))
    next((copied / "weights").glob("*.safetensors")).unlink()
    with pytest.raises(ConfigError, match=message):
        FinishedRun(copied)
    assert main([str(copied)]) == 2
    assert "ConfigError" in capsys.readouterr().err
