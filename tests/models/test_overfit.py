"""A network of every family learns 16 real samples by heart: what cannot do that has a layer that does not learn."""

import lzma
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from fer_lightning import model_table
from fer_lightning.datasets import megc2019_flow
from fer_lightning.network import build_network
from fer_lightning.preprocess.flow_image import FlowImage
from fer_lightning.preprocess.pose_array import PoseArray
from fer_lightning.preprocess.remark import Remarked

Samples = tuple[torch.Tensor, torch.Tensor]
COUNT = 16


def faces(raw: Path, channels: list[str], size: int) -> Samples:
    """The middle of the first faces of FER2013 with their emotions."""
    with lzma.open(raw / "fer2013" / "fer2013.csv.xz", "rt") as file:
        rows = [line.split(",") for line in islice(file, 1, COUNT + 1)]
    pixels = np.array([pixels.split() for _, pixels, _ in rows], dtype=np.float32).reshape(-1, 1, 48, 48) / 255
    start = (48 - size) // 2
    pixels = np.repeat(pixels[..., start : start + size, start : start + size], len(channels), axis=1)
    return torch.from_numpy(pixels), torch.tensor([int(emotion) for emotion, *_ in rows])


def flow(raw: Path, channels: list[str], size: int) -> Samples:
    """The flow of every 27th clip of MEGC 2019, with its emotion."""
    manifest = megc2019_flow.build_manifest(raw / "megc2019").iloc[::27][:COUNT]
    images = np.stack(list(FlowImage(size, channels).make(raw / "megc2019", manifest)))
    labels = [megc2019_flow.CLASSES.index(label) for label in manifest["label"]]
    return torch.from_numpy(images / np.float32(255)), torch.tensor(labels)


def pose(raw: Path, channels: list[str], *parts: str) -> Samples:
    """The key points of one person in files written by OpenPose; nobody named an emotion, so the class is a number."""
    files = sorted(file.relative_to(raw).as_posix() for file in (raw / "openpose").rglob("*.json"))
    made = PoseArray(parts, channels, normalise="torso").make(raw, pd.DataFrame({"path": files}))
    people = np.stack([array for array in made if not isinstance(array, Remarked)])
    first = np.unique(people, axis=0, return_index=True)[1]  # some files are copies
    return torch.from_numpy(people[np.sort(first)[:COUNT]]), torch.arange(COUNT) % 3


def pose_clip(raw: Path, channels: list[str], *parts: str) -> Samples:
    """Clips of eight such frames, each from another frame on."""
    people, labels = pose(raw, channels, *parts)
    return torch.stack([people.roll(-start, dims=0)[:8] for start in range(COUNT)]).transpose(1, 2), labels


#: Network -> where its samples are from, at a size that keeps this quick.
FAMILIES = {
    "arch1": (faces, 24),
    "vggspinalnet": (faces, 24),
    "camnet": (faces, 32),
    "resnet18": (faces, 24),
    "waspp": (flow, 18),
    "ststnet": (flow, 28),
    "off_apexnet": (flow, 28),
    "dual_inception": (flow, 28),
    "htnet": (flow, 28),
    "keypoint_ann": (pose, "body", "face"),
    "stgcn": (pose_clip, "body"),
    "gru_pose": (pose_clip, "body", "face"),
    "frame_transformer_pose": (pose_clip, "body", "face"),
}
MODULES = {"resnet18": {"module": "wasp", "module_after": "layer2"}}
RATES = {"htnet": 1e-4}  # its paper's is 5e-5; a transformer of 14 layers does not start with 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_sixteen_real_samples_are_learned_by_heart(fer_raw, name):
    data, *how = FAMILIES[name]
    cfg = model_table.load(name)
    cfg.model.update({**(cfg.needs.get("small") or {}), **MODULES.get(name, {})})
    x, labels = data(fer_raw, list(cfg.data.channels), *how)
    assert len(x) == len(labels) == COUNT
    assert len(labels.unique()) >= 3, "one class alone is no task"
    if "size" in cfg.model:
        cfg.model.size = x.shape[-1]
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = build_network(cfg)
    for layer in net.modules():
        if isinstance(layer, _BatchNorm):
            layer.momentum = 0.5  # evaluation follows training in a few steps instead of some dozens
    optimizer = torch.optim.Adam(net.parameters(), lr=RATES.get(name, 1e-3))
    for step in range(1, 301):
        optimizer.zero_grad()
        F.cross_entropy(net.train()(x), labels).backward()
        optimizer.step()
        if step % 5 == 0:
            with torch.inference_mode():
                hits = int((net.eval()(x).argmax(dim=1) == labels).sum())
            if hits == COUNT:
                return
    pytest.fail(f"{name} knows {hits} of {COUNT} samples after {step} steps")
