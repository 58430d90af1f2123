"""The WASPP family against the printed parameter counts and the map sizes of its table."""

import pytest
import torch

from fer_lightning.models.counting import total_parameters, train_parameters
from fer_lightning.models.pyramid_net import PyramidNet

NETS = {  # WASPP paper, Table 14
    "dspp": ("spp", "direct", 2, 8_377_443, 8_378_659),
    "wspp": ("spp", "waterfall", 2, 8_229_987, 8_231_203),
    "daspp": ("aspp", "direct", 3, 8_377_443, 8_378_659),
    "waspp": ("aspp", "waterfall", 3, 8_116_578, 8_117_794),
}
VARIANTS = {  # position, flow -> (train, total) for 2, 3, 4, 5 branches
    ("conv1", "direct"): [(7_304_835, 7_305_731)] * 4,
    ("conv2", "direct"): [(8_377_443, 8_378_659)] * 4,
    ("conv1", "waterfall"): [
        (7_284_099, 7_284_995), (7_267_971, 7_268_867), (7_258_179, 7_259_075), (7_252_338, 7_253_234),
    ],
    ("conv2", "waterfall"): [
        (8_229_987, 8_231_203), (8_116_578, 8_117_794), (8_045_667, 8_046_883), (8_001_522, 8_002_738),
    ],
}  # fmt: skip


def on_meta(*args, **options) -> PyramidNet:
    """A network without memory: enough to count its parameters and to follow its shapes."""
    with torch.device("meta"):
        return PyramidNet(*args, **options)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("geometry", ["table2", "vggm"])
def test_parameters_are_those_of_table_14(name, geometry):
    pyramid, flow, branches, train, total = NETS[name]
    net = on_meta(2, 3, pyramid, flow, branches, "conv2", geometry)
    assert (train_parameters(net), total_parameters(net)) == (train, total)


@pytest.mark.parametrize("pyramid", ["spp", "aspp"])
@pytest.mark.parametrize(("position", "flow"), VARIANTS)
def test_parameters_of_all_variants(pyramid, position, flow):
    nets = [on_meta(2, 3, pyramid, flow, n, position) for n in (2, 3, 4, 5)]
    assert [(train_parameters(net), total_parameters(net)) for net in nets] == VARIANTS[position, flow]


def test_parameters_of_the_base_network():
    net = on_meta(2, 3, None)
    assert (train_parameters(net), total_parameters(net)) == (6_607_203, 6_607_907)


@pytest.mark.parametrize(
    ("geometry", "expected"),
    [("table2", [69, 65, 65, 32, 32, 16, 16, 8]), ("vggm", [35, 17, 8, 3, 3, 3, 3, 1])],
)
def test_maps_of_a_75x75_image(geometry, expected):
    net, sizes = on_meta(geometry=geometry).eval(), []
    for layer in net.features:
        if isinstance(layer, torch.nn.Conv2d | torch.nn.MaxPool2d):
            layer.register_forward_hook(lambda _, __, output: sizes.append(tuple(output.shape[2:])))
    assert net(torch.empty(1, 2, 75, 75, device="meta")).shape == (1, 3)
    assert sizes == [(size, size) for size in expected]


@pytest.mark.parametrize("position", ["conv1", "conv2"])
def test_the_module_stands_after_its_convolution_and_before_a_pool(position):
    names = [name for name, _ in on_meta(position=position, geometry="vggm").features.named_children()]
    number = position[-1]
    place = names.index("pyramid")
    assert names[place - 3 : place + 2] == [
        position, f"norm{number}", f"relu{number}", "pyramid", f"pool{number}",
    ]  # fmt: skip


def test_only_the_first_two_convolutions_and_the_branches_are_normalised():
    norms = [n for n, layer in on_meta().named_modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    branches = [f"features.pyramid.branches.{i}.norm" for i in range(3)]
    assert norms == ["features.norm1", "features.norm2", *branches]


@pytest.mark.parametrize("geometry", ["table2", "vggm"])
@pytest.mark.parametrize("pyramid", [None, "spp", "aspp"])
@pytest.mark.parametrize(("position", "branches"), [("conv1", 5), ("conv2", 4), ("conv2", 5)])
def test_smallest_input_is_what_pytorch_can_run(geometry, pyramid, position, branches):
    net = on_meta(2, 3, pyramid, "waterfall", branches, position, geometry).eval()
    size = net.smallest_input
    assert net(torch.empty(1, 2, size, size + 9, device="meta")).shape == (1, 3)
    with pytest.raises(ValueError, match=f"at least {size}x{size} pixels"):
        net(torch.empty(1, 2, size + 9, size - 1, device="meta"))
    with pytest.raises((RuntimeError, ValueError)):  # without our own check, too
        net.features(torch.empty(1, 2, size - 1, size - 1, device="meta"))


def test_spp_model_8_does_not_fit_the_vggm_maps_of_75_pixels():
    net = on_meta(2, 3, "spp", "direct", 5, "conv2", "vggm")
    with pytest.raises(ValueError, match=r"'vggm' the network needs at least 91x91 .* or geometry='table2'"):
        net(torch.empty(1, 2, 75, 75, device="meta"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pyramid": "pspp"}, r"pyramid='pspp' is not one of \['spp', 'aspp'\]"),
        ({"flow": "cascade"}, r"flow='cascade' is not one of \['direct', 'waterfall'\]"),
        ({"branches": 6}, r"branches=6 is not one of \[2, 3, 4, 5\]"),
        ({"position": "conv3"}, r"position='conv3' is not one of \['conv1', 'conv2'\]"),
        ({"geometry": "vgg16"}, r"geometry='vgg16' is not one of \['table2', 'vggm'\]"),
    ],
)
def test_wrong_values_are_named_with_the_accepted_ones(options, message):
    with pytest.raises(ValueError, match=message):
        on_meta(**options)
