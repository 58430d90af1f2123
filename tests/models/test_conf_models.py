"""What every network must do. `conf/model` is listed: a new network is tested as soon as its YAML is there.

A network is run at `needs.example` if its YAML names one (the trailing shape of an input that is no square image), else
at `needs.min_size` (the large ones have one, so that this stays quick), else at `paper.size`, else at 32 pixels.
"""

import inspect
from pathlib import Path

import onnxruntime
import pytest
import torch
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf

from fer_lightning.resolvers import register

FOLDER = Path(__file__).parents[2] / "conf" / "model"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
CLASSES = [
    "negative",
    "positive",
    "surprise",
    "other",
]  # four, so that no network can have three written in it
#: What data sets hold (`data.kind`); a clip has one axis more than its picture, `(C, T, H, W)`.
KINDS = {"face", "flow", "pose", "face_clip", "pose_clip"}
CHANCE = {"random_guess"}  # its output is meant to differ from call to call
#: Batch norm of one value per channel is undefined. These pool to 1x1 maps, or have batch norms in a dense head ...
PAIRS = {
    "bam_resnet50", "camnet",
    "efficientnetv2_s_spinal", "vggprogressivespinalnet", "vggspinalnet", "vit_l32_spinal",
}  # fmt: skip
#: ... and these end in 1x1 maps at the small size of these tests, not at the size they are trained with.
PAIRS_WHEN_SMALL = {
    "arch1", "arch3", "cbam_resnet50", "densenet121", "resmasking", "resnet34", "resnet50", "senet50", "seresnet34",
    "seresnext101",
}  # fmt: skip
RECURRENT = {"gru_face", "gru_pose"}  # torch.compile leaves GRUs to their own kernels
#: One of each kind; the rest takes minutes: `python -m pytest -m full`.
COMPILED = ["ststnet", "arch1", "vggspinalnet"]
EXPORTED = [*COMPILED, "dspp", "resnet18", "keypoint_ann", "gru_pose", "frame_transformer_pose", "stgcn"]


def some(names: list[str], left_out: set[str]) -> list:
    """`names` as they are, all others of `NAMES` for `-m full` only."""
    others = [name for name in NAMES if name not in {*names, *left_out}]
    return [*names, *(pytest.param(name, marks=pytest.mark.full) for name in others)]


def load(name: str) -> DictConfig:
    """One model YAML, resolved as in a run, with the channels of the data it is made for."""
    register()
    cfg = OmegaConf.load(FOLDER / f"{name}.yaml")
    cfg.model.update(cfg.needs.get("small") or {})  # what makes a network of gigabytes testable
    paper = cfg.get("paper", {})
    channels = [paper.get(f"{kind}_channels") for kind in ("flow", "face", "pose")]
    channels = next(filter(None, [cfg.needs.get("channels"), *channels]), ["gray"])
    cfg.data = {"channels": channels, "classes": CLASSES}
    return cfg


def build(name: str, batch: int = 2) -> tuple[torch.nn.Module, torch.Tensor]:
    """The network of a YAML and a batch that it reads."""
    cfg = load(name)
    size = cfg.needs.get("min_size") or cfg.get("paper", {}).get("size") or 32
    shape = cfg.needs.get("example") or (size, size)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return instantiate(cfg.model), torch.rand(batch, len(cfg.data.channels), *shape)


def without_gradient(net: torch.nn.Module) -> list[str]:
    """Names of the parameters that have no gradient after a backward pass, or one that is not finite."""
    return [name for name, p in net.named_parameters() if p.grad is None or not p.grad.isfinite().all()]


def test_a_parameter_without_a_gradient_is_named():
    net = torch.nn.ModuleDict({name: torch.nn.Linear(2, 1) for name in ("used", "unused", "broken")})
    (net["used"](torch.ones(1, 2)) + net["broken"](torch.full((1, 2), torch.inf))).sum().backward()
    assert without_gradient(net) == ["unused.weight", "unused.bias", "broken.weight"]


def test_the_folder_of_models_is_found():
    assert {"waspp", "ststnet", "arch1", "resnet18", "random_guess"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_yaml_names_itself_and_every_argument_it_sets(name):
    cfg = load(name)
    assert cfg.model_name == name
    parameters = inspect.signature(get_object(cfg.model["_target_"])).parameters
    assert set(cfg.model) - {"_target_"} <= set(parameters)
    assert all(p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters.values()), "no *args, no **kwargs"
    kinds = [cfg.needs.kind] if isinstance(cfg.needs.kind, str) else cfg.needs.kind or []
    assert set(kinds) <= KINDS


@pytest.mark.parametrize("name", NAMES)
def test_gradient_reaches_every_parameter(name):
    net, x = build(name)
    for parameter in net.parameters():  # some networks start with zero weights, which would stop it
        parameter.data.add_(0.02 * torch.randn_like(parameter))
    logits = net.train()(x)
    assert logits.shape == (2, len(CLASSES))
    assert logits.isfinite().all()
    (logits * torch.randn_like(logits)).sum().backward()
    unreached = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert unreached == []


@pytest.mark.parametrize("name", [name for name in NAMES if name not in CHANCE])
def test_a_sample_scores_the_same_alone_and_in_any_order(name):
    net, x = build(name, batch=3)
    for layer in net.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 1.0  # one pass of data: without it, deep scores are all alike
    net, x = net.double(), x.double()  # scores of a deep, untrained network are large, and so is their rounding
    net.train()(x)
    net.eval()
    with torch.inference_mode():
        together = net(x)
        assert torch.allclose(net(x[[2, 0, 1]]), together[[2, 0, 1]], atol=1e-5)
        assert torch.allclose(net(x[1:2]), together[1:2], atol=1e-5)
    assert together.std(dim=0).max() > 1e-4, "all samples score the same: the comparison proves nothing"


@pytest.mark.parametrize("name", [name for name in NAMES if name not in CHANCE])
def test_saved_weights_give_the_same_scores(name, tmp_path):
    net, x = build(name)
    net.train()(x)  # moves the running statistics of batch norms
    torch.save(net.state_dict(), tmp_path / "weights.pt")
    torch.manual_seed(1)
    other = instantiate(load(name).model).eval()
    with torch.inference_mode():
        expected, before = net.eval()(x), other(x)
        other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
        assert not torch.equal(before, expected)
        assert torch.equal(other(x), expected)


@pytest.mark.parametrize("name", [name for name in NAMES if load(name).needs.get("min_size")])
def test_one_pixel_less_than_the_smallest_size_is_refused(name):
    net, x = build(name)
    with pytest.raises(ValueError, match=r"at least|next size"):
        net.eval()(x[..., 1:, 1:])


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_of_one_trains_unless_a_batch_norm_sees_one_value(name):
    net, x = build(name, batch=1)
    if name in PAIRS | PAIRS_WHEN_SMALL:
        with pytest.raises(ValueError, match="more than 1 value per channel"):
            net.train()(x)
    else:
        net.train()(x).sum().backward()
        assert without_gradient(net) == []


@pytest.mark.parametrize("name", [name for name in NAMES if name not in CHANCE])
def test_bfloat16_and_channels_last_give_the_same_scores_within_their_precision(name):
    net, x = build(name)
    with torch.inference_mode():
        expected = net.eval()(x)
        if x.ndim == 4:
            net, x = net.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
            assert torch.allclose(net(x), expected, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        scores = net(x)
        assert (scores - expected).abs().max() < 0.1 * expected.abs().max()  # 8 bits, in up to 121 layers
        net.train()(x).float().sum().backward()
    assert without_gradient(net) == []


@pytest.mark.parametrize("name", some(COMPILED, CHANCE | RECURRENT))
def test_compiled_in_one_graph_it_gives_the_same_scores(name):
    net, x = build(name)
    torch.compiler.reset()
    with torch.no_grad():
        expected = net.eval()(x)
        found = torch.compile(net, backend="aot_eager", fullgraph=True)(x)  # needs no C++ compiler
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("name", some(EXPORTED, CHANCE))
@pytest.mark.filterwarnings("ignore")  # of the exporter, about itself
def test_exported_to_onnx_it_gives_the_same_scores(name):
    net, x = build(name)
    model = torch.onnx.export(net.eval(), (x,), dynamo=True, verbose=False, optimize=False).model_proto
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    with torch.inference_mode():
        assert torch.allclose(torch.from_numpy(found), net(x), atol=1e-4)
