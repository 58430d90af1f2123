"""The networks of the body-gesture report: key points as numbers, and skeleton pictures."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from fer_lightning.functional import openpose
from fer_lightning.models.counting import train_parameters
from fer_lightning.models.keypoint_ann import KeypointANN
from fer_lightning.models.modules.body_graph import JOINTS
from fer_lightning.models.resnet18 import resnet18
from fer_lightning.models.timm_backbone import timm_backbone
from fer_lightning.preprocess.pose_array import PoseArray
from tests.runs import configure


@pytest.mark.parametrize(
    ("network", "options", "expected"),
    [
        (KeypointANN, {}, 114_823),
        (KeypointANN, {"num_classes": 2}, 114_498),
        (KeypointANN, {"num_classes": 7 + 2}, 114_953),
        (KeypointANN, {"in_channels": 2}, 114_823 - 95 * 256),  # without confidence
        (resnet18, {"in_channels": 3, "num_classes": 7, "stem": "imagenet"}, 11_180_103),
        (resnet18, {"in_channels": 3, "num_classes": 2, "stem": "imagenet"}, 11_177_538),
        # ViT-B/16: patches, 196 + 1 positions, class token, 12 layers, last norm, head
        (
            timm_backbone,
            {"name": "vit_base_patch16_224"},
            (3 * 256 + 1) * 768 + 198 * 768 + 12 * (12 * 768**2 + 13 * 768) + 2 * 768 + 769 * 7,
        ),
    ],
)
def test_parameters(network, options, expected):
    with torch.device("meta"):
        assert train_parameters(network(**options)) == expected


def test_four_linear_layers_of_285_numbers_against_numpy():
    net, pose = KeypointANN(), torch.randn(2, 3, 95)
    layers = [layer for layer in net.modules() if isinstance(layer, nn.Linear)]
    assert [layer.in_features for layer in layers] == [285, 256, 128, 64]
    value = pose.numpy().reshape(2, 285)
    for layer in layers:
        value = value @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
        value = value if layer is layers[-1] else np.maximum(value, 0)
    with torch.inference_mode():
        assert net(pose).numpy() == pytest.approx(value, abs=1e-5)


@pytest.mark.parametrize("name", ["keypoint_ann", "keypoint_ann_va", "keypoint_ann_joint"])
def test_the_yaml_and_the_recipe_agree_on_the_285_numbers(name):
    cfg = configure(f"model={name}", "data=dfew", "input=openpose_json")
    assert len(cfg.data.channels) * sum(JOINTS[part] for part in cfg.data.recipe.parts) == 285
    assert (cfg.model.in_channels, cfg.model.parts) == (3, cfg.data.recipe.parts)


def test_the_network_reads_what_openpose_wrote(fer_raw):
    """The array of a real file holds the numbers of its two lists, in another order; the first layer sees them all."""
    folder, name = fer_raw / "openpose" / "slp_face_hand", "video_000000000000_keypoints.json"
    person = json.loads((folder / name).read_text())["people"][0]
    listed = np.array(person["pose_keypoints_2d"] + person["face_keypoints_2d"])
    listed[np.repeat(listed[2::3] == 0, 3)] = 0
    recipe = PoseArray(["body", "face"], ["x", "y", "confidence"], person="first", normalise=None)
    (pose,) = recipe.make(folder, pd.DataFrame({"path": [name]}))
    assert len(listed) == pose.size == 285
    net = KeypointANN()
    first, *others = (layer for layer in net.features if not isinstance(layer, nn.Flatten))
    interleaved = first.weight.reshape(256, 3, 95).transpose(1, 2).flatten(1)  # x, y, confidence of each point in turn
    with torch.inference_mode():
        hidden = interleaved @ torch.tensor(listed, dtype=torch.float32) + first.bias
        expected = net.head(nn.Sequential(*others)(hidden))
        assert torch.allclose(net(torch.from_numpy(pose)[None])[0], expected, rtol=1e-4, atol=1e-3)


def test_other_key_points_than_it_was_built_for_are_refused():
    with pytest.raises(ValueError, match=r"95 key points of parts=\['body', 'face'\], found .*\(1, 3, 137\)"):
        KeypointANN()(torch.zeros(1, 3, 137))
    with pytest.raises(ValueError, match=r"parts=\['foot'\] must be some of"):
        KeypointANN(parts=["foot"])


def test_parts_have_as_many_points_as_openpose_writes():
    assert {part: place.stop - place.start for part, place in openpose.PARTS.items()} == JOINTS
    assert list(openpose.PARTS) == list(JOINTS)
