"""Any network of timm: size, channels, head; weights from the usual cache, and what is said where they are not."""

import re

import huggingface_hub
import pytest
import timm
import torch
from safetensors.torch import save_file
from torchvision.models.vision_transformer import VisionTransformer

from fer_lightning.models.modules.spinal import SpinalHead
from fer_lightning.models.timm_backbone import timm_backbone

WEIGHTS = "test_resnet.r160_in1k"  # 0.5 million parameters


@pytest.fixture
def offline_cache(tmp_path, monkeypatch):
    """An empty cache of Hugging Face, and no connection."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path


@pytest.mark.parametrize("in_channels", [1, 2, 3])
@pytest.mark.parametrize(
    "name", ["test_vit", "test_resnet", "test_convnext", "test_efficientnet", "xcit_nano_12_p8_224"]
)
def test_size_channels_and_classes_are_those_asked_for(name, in_channels):
    net = timm_backbone(name, in_channels, num_classes=5, size=96)
    assert net.train()(torch.rand(2, in_channels, 96, 96)).shape == (2, 5)


def test_a_network_of_fixed_size_refuses_another():
    with torch.device("meta"):
        net = timm_backbone("vit_tiny_patch16_224", size=64)
        assert net(torch.rand(1, 3, 64, 64)).shape == (1, 7)
        with pytest.raises(AssertionError, match="64"):
            net(torch.rand(1, 3, 96, 96))


def test_another_head():
    with torch.device("meta"):
        net = timm_backbone("resnet18", num_classes=3, head=SpinalHead)
    assert isinstance(net.fc, SpinalHead)


def test_vit_with_the_weights_of_torchvisions():
    net = timm_backbone("vit_tiny_patch16_224", num_classes=7, size=32).eval()
    other = VisionTransformer(32, 16, num_layers=12, num_heads=3, hidden_dim=192, mlp_dim=768, num_classes=7).eval()
    names = {
        "cls_token": "class_token", "pos_embed": "encoder.pos_embedding", "patch_embed.proj": "conv_proj",
        "^norm": "encoder.ln", "^head": "heads.head", "blocks.": "encoder.layers.encoder_layer_",
        "norm([12])": r"ln_\1", "attn.qkv.": "self_attention.in_proj_", "attn.proj": "self_attention.out_proj",
        "mlp.fc1": "mlp.0", "mlp.fc2": "mlp.3",
    }  # fmt: skip
    weights = net.state_dict()
    for ours, theirs in names.items():
        weights = {re.sub(ours, theirs, name): value for name, value in weights.items()}
    other.load_state_dict(weights)
    x = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        assert torch.allclose(net(x), other(x), atol=1e-5)


def test_unknown_names_are_answered_with_near_ones():
    with pytest.raises(ValueError, match=r"no network 'convnext_tny'; near are \['convnext_tiny'"):
        timm_backbone("convnext_tny")
    with pytest.raises(ValueError, match=r"no weights 'in1k' of resnet10t; use one of \['resnet10t.c3_in1k'\]"):
        timm_backbone("resnet10t.in1k", pretrained=True)


def test_a_network_without_weights_says_which_have_some():
    name = next(n for n in timm.list_models("*resnet*") if not timm.list_pretrained(f"{n}.*"))
    with pytest.raises(ValueError, match=f"no weights for '{name}'; use pretrained=false, or one of .*resnet"):
        timm_backbone(name, pretrained=True)


def test_without_a_connection_the_wanted_file_and_its_place_are_named(offline_cache):
    with pytest.raises(ConnectionError) as caught:
        timm_backbone(WEIGHTS, pretrained=True)
    for wanted in ("model.safetensors", f"hf download timm/{WEIGHTS}", f"models--timm--{WEIGHTS}", "HF_HOME"):
        assert wanted in str(caught.value)


def test_weights_of_an_address_are_named_too(monkeypatch):
    name = next(n for n in timm.list_pretrained() if not timm.get_pretrained_cfg(n).hf_hub_id)

    def refuse(url: str, **options) -> None:
        raise OSError("no route")

    monkeypatch.setattr(timm.models._builder, "load_state_dict_from_url", refuse)
    with pytest.raises(ConnectionError) as caught:
        timm_backbone(name, pretrained=True)
    url = timm.get_pretrained_cfg(name).url
    assert url in str(caught.value)
    assert f"/checkpoints/{url.rpartition('/')[2]}. Or use pretrained=false" in str(caught.value)
    assert str(caught.value).endswith("no route")


@pytest.mark.parametrize("in_channels", [1, 2, 3])
def test_weights_at_the_named_place_are_used(offline_cache, in_channels):
    original = timm.create_model("test_resnet")
    folder = offline_cache / f"models--timm--{WEIGHTS}"
    for part in ("refs", "snapshots/1"):
        (folder / part).mkdir(parents=True)
    (folder / "refs" / "main").write_text("1")
    save_file(original.state_dict(), folder / "snapshots" / "1" / "model.safetensors")
    net = timm_backbone(WEIGHTS, in_channels, num_classes=7, pretrained=True)
    expected, found = original.state_dict(), net.state_dict()
    head, stem = net.pretrained_cfg["classifier"], net.pretrained_cfg["first_conv"] + ".weight"
    same = [name for name in expected if not name.startswith(head) and name != stem]
    assert len(same) == len(expected) - 3
    assert all(torch.equal(found[name], expected[name]) for name in same)
    assert found[f"{head}.weight"].shape[0] == 7
    weight = expected[stem]
    wanted = {1: weight.sum(1, keepdim=True), 2: 1.5 * weight[:, :2], 3: weight}[in_channels]
    assert torch.allclose(found[stem], wanted)
