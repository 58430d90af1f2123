"""The pyramid module against slow loops over pixels, written from the paper's text without torch's layers."""

import itertools

import numpy as np
import pytest
import torch

from fer_lightning.models.modules.pyramid import Pyramid, branch_widths


def convolve(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, dilation: int) -> np.ndarray:
    """3x3, one pixel after the other; what lies outside the map counts as zero."""
    _, height, width = x.shape
    out = np.zeros((len(weight), height, width))
    for o, row, column in itertools.product(range(len(weight)), range(height), range(width)):
        out[o, row, column] = bias[o]
        for i, j in itertools.product(range(3), range(3)):
            r, c = row + (i - 1) * dilation, column + (j - 1) * dilation
            if 0 <= r < height and 0 <= c < width:
                out[o, row, column] += weight[o, :, i, j] @ x[:, r, c]
    return out


def average(x: np.ndarray, k: int) -> np.ndarray:
    """Means of whole k x k windows side by side."""
    rows, columns = x.shape[1] // k, x.shape[2] // k
    out = np.zeros((len(x), rows, columns))
    for r, c in itertools.product(range(rows), range(columns)):
        out[:, r, c] = x[:, r * k : (r + 1) * k, c * k : (c + 1) * k].mean(axis=(1, 2))
    return out


def enlarge(x: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear, pixel centres aligned; the border repeats."""
    out = np.zeros((len(x), height, width))
    for row, column in itertools.product(range(height), range(width)):
        r = min(max((row + 0.5) * x.shape[1] / height - 0.5, 0), x.shape[1] - 1)
        c = min(max((column + 0.5) * x.shape[2] / width - 0.5, 0), x.shape[2] - 1)
        r0, c0 = int(r), int(c)
        r1, c1 = min(r0 + 1, x.shape[1] - 1), min(c0 + 1, x.shape[2] - 1)
        top = x[:, r0, c0] * (1 - c + c0) + x[:, r0, c1] * (c - c0)
        bottom = x[:, r1, c0] * (1 - c + c0) + x[:, r1, c1] * (c - c0)
        out[:, row, column] = top * (1 - r + r0) + bottom * (r - r0)
    return out


def slow_pyramid(x: np.ndarray, weights: dict, kind: str, flow: str, branches: int) -> np.ndarray:
    """(C, H, W) -> (2C, H, W) as the paper describes it, in evaluation mode."""
    outputs = [x]
    for i in range(branches):
        w = {name.split(".", 2)[2]: v for name, v in weights.items() if name.startswith(f"branches.{i}.")}
        source = outputs[-1] if flow == "waterfall" else x
        y = convolve(source, w["conv.weight"], w["conv.bias"], i + 1 if kind == "aspp" else 1)
        if kind == "spp":
            y = average(y, 2 * (i + 1))
        scale = w["norm.weight"] / np.sqrt(w["norm.running_var"] + 1e-5)
        y = (y - w["norm.running_mean"][:, None, None]) * scale[:, None, None] + w["norm.bias"][:, None, None]
        outputs.append(enlarge(np.maximum(y, 0), *x.shape[1:]))
    return np.concatenate(outputs)


@pytest.mark.parametrize("kind", ["spp", "aspp"])
@pytest.mark.parametrize("flow", ["direct", "waterfall"])
@pytest.mark.parametrize("branches", [2, 3, 5])
def test_pyramid_agrees_with_loops(kind, flow, branches):
    torch.set_num_threads(1)
    torch.manual_seed(branches)
    module = Pyramid(7, kind, flow, branches).double().eval()
    for name, value in module.state_dict().items():  # every number matters, the running statistics too
        if value.is_floating_point():
            value.copy_(torch.rand_like(value) + 0.5 if name.endswith("var") else torch.randn_like(value))
    x = torch.randn(1, 7, 11, 13, dtype=torch.float64)
    weights = {name: value.numpy() for name, value in module.state_dict().items()}
    with torch.inference_mode():
        found = module(x)[0].numpy()
    assert found.shape == (14, 11, 13)
    np.testing.assert_allclose(found, slow_pyramid(x[0].numpy(), weights, kind, flow, branches), rtol=1e-9)


@pytest.mark.parametrize(
    ("channels", "branches", "expected"),
    [
        (256, 2, [128, 128]),
        (256, 3, [86, 85, 85]),
        (256, 5, [52, 51, 51, 51, 51]),
        (96, 5, [20, 19, 19, 19, 19]),
    ],
)
def test_the_first_branches_take_the_remainder(channels, branches, expected):
    assert branch_widths(channels, branches) == expected


def test_a_map_smaller_than_the_largest_pool_is_refused():
    module = Pyramid(10, "spp", "direct", 5).eval()
    assert module(torch.zeros(1, 10, 10, 10)).shape == (1, 20, 10, 10)
    with pytest.raises(ValueError, match="largest average pool of the pyramid is 10x10, the map to pool is 8x12"):
        module(torch.zeros(1, 10, 8, 12))


def test_fewer_channels_than_branches_are_refused():
    with pytest.raises(ValueError, match="3 channels cannot be split over 4 branches"):
        Pyramid(3, "aspp", "direct", 4)
