"""Networks over the frames of a clip: GRU, transformer, ST-GCN and its graph."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse.csgraph import shortest_path
from timm.models.vision_transformer import Block
from torch import nn

from fer_lightning.functional import pose, skeleton
from fer_lightning.models.counting import train_parameters
from fer_lightning.models.frame_transformer import FrameTransformer
from fer_lightning.models.gru import FrameGRU
from fer_lightning.models.modules.body_graph import EDGES, JOINTS, NECK, edges, joints, partition
from fer_lightning.models.modules.frame_encoders import FaceEncoder, PoseEncoder, encode_frames
from fer_lightning.models.stgcn import STGCN, UNITS, Unit
from fer_lightning.preprocess.pose_clip import PoseClip

ALL = list(JOINTS)
WITH_BODY = [["body"], ["body", "face"], ["body", "hand_left", "hand_right"], ALL]


def unordered(pairs) -> set[frozenset[int]]:
    return {frozenset(pair) for pair in pairs}


def test_edges_are_the_lines_that_openpose_draws():
    assert unordered(EDGES["body"]) == unordered(skeleton.BODY_PAIRS["BODY_25"])
    assert unordered(EDGES["face"]) == unordered(skeleton.FACE_PAIRS)
    assert unordered(EDGES["hand_left"]) == unordered(EDGES["hand_right"]) == unordered(skeleton.HAND_PAIRS)
    assert all(len(unordered(EDGES[part])) == len(EDGES[part]) for part in ALL), "an edge stands there twice"


@pytest.mark.parametrize("parts", WITH_BODY, ids="+".join)
def test_the_graph_is_whole_and_its_own_mirror_image(parts):
    assert joints(parts) == len(pose.point_numbers(parts))
    adjacency = np.zeros((joints(parts), joints(parts)))
    adjacency[tuple(np.transpose(edges(parts)))] = 1
    assert np.isfinite(shortest_path(adjacency, directed=False, unweighted=True)).all()
    mirror, graph = pose.mirrored(parts), partition(parts).numpy()
    assert np.array_equal(graph[:, mirror][:, :, mirror], graph)


@pytest.mark.parametrize("parts", WITH_BODY, ids="+".join)
def test_partition_against_the_definition(parts):
    """Sets of each joint: itself and as far, nearer, farther; each weighs 1 in all."""
    number = joints(parts)
    adjacency = np.eye(number)
    for first, second in edges(parts):
        adjacency[first, second] = adjacency[second, first] = 1
    away = shortest_path(adjacency - np.eye(number), unweighted=True)[NECK]
    expected = np.zeros((3, number, number))
    for joint in range(number):
        neighbours = np.flatnonzero(adjacency[joint])
        for k, members in enumerate((np.equal, np.less, np.greater)):
            group = neighbours[members(away[neighbours], away[joint])]
            expected[k, group, joint] = 1 / max(len(group), 1)
    assert partition(parts).numpy() == pytest.approx(expected)


def test_sets_of_the_neck_and_of_the_right_elbow_by_hand():
    graph = partition(["body"])
    neighbours = [
        {v: round(float(graph[k, v, w]), 3) for v in graph[k, :, w].nonzero()} for w in (1, 3) for k in range(3)
    ]
    neighbours = [{int(v): weight for v, weight in group.items()} for group in neighbours]
    assert neighbours == [{1: 1}, {}, {0: 0.25, 2: 0.25, 5: 0.25, 8: 0.25}, {3: 1}, {2: 1}, {4: 1}]


def test_a_graph_without_a_body_is_refused():
    with pytest.raises(ValueError, match=r"parts=\['face'\] must be some of .*, with the body"):
        STGCN(parts=["face"])


@pytest.mark.parametrize("parts", [["body"], ALL], ids="+".join)
def test_stgcn_parameters(parts):
    v, channels, expected = joints(parts), 3, 2 * 3 * joints(parts) + 257 * 7
    for out, stride in UNITS:
        expected += (channels + 1) * 3 * out + 3 * v * v  # graph convolution, importance of edges
        expected += (9 * out + 1) * out + 2 * 2 * out  # convolution over time, two batch norms
        expected += 0 if (channels, 1) == (out, stride) else (channels + 3) * out  # shortcut with batch norm
        channels = out
    with torch.device("meta"):
        assert train_parameters(STGCN(parts=parts)) == expected
    assert expected == {25: 3_034_056, 137: 3_524_616}[v]


def test_stgcn_maps():
    net, sizes = STGCN().eval(), []
    for unit in net.units:
        unit.register_forward_hook(lambda _unit, _inputs, out: sizes.append(tuple(out.shape[1:])))
    with torch.inference_mode():
        net(torch.rand(1, 3, 16, 25))
    assert sizes == 3 * [(64, 16, 25)] + 3 * [(128, 8, 25)] + 3 * [(256, 4, 25)]


@pytest.mark.parametrize("stride", [1, 2])
def test_a_unit_against_the_papers_sum_over_neighbours(stride):
    """f_out(v_i) = sum over neighbours v_j of f_in(v_j) w(l_i(v_j)) M_ij / Z_i(v_j), then 9 frames around each."""
    unit, x = Unit(2, 4, stride, 25, dropout=0.5).double().eval(), torch.randn(1, 2, 5, 25, dtype=torch.float64)
    nn.init.normal_(unit.importance)
    sets = partition(["body"]).numpy()
    weight = unit.spatial.weight.detach().numpy().reshape(3, 4, 2)
    bias, importance = unit.spatial.bias.detach().numpy().reshape(3, 4), unit.importance.detach().numpy()
    joined = np.zeros((4, 5, 25))
    for t, i, j, k in product(range(5), range(25), range(25), range(3)):
        if sets[k, j, i]:
            joined[:, t, i] += (weight[k] @ x.numpy()[0, :, t, j] + bias[k]) * importance[k, j, i] * sets[k, j, i]
    norm, _, conv, last, _ = unit.temporal
    joined = np.maximum(joined / np.sqrt(1 + norm.eps), 0)  # fresh batch norms only divide
    padded = np.pad(joined, ((0, 0), (4, 4), (0, 0)))
    kernel, found = conv.weight.detach().numpy()[..., 0], []
    for t in range(0, 5, stride):
        found.append(np.einsum("ock,ckv->ov", kernel, padded[:, t : t + 9]) + conv.bias.detach().numpy()[:, None])
    beside = unit.shortcut[0](x)[0].detach().numpy()
    expected = np.maximum((np.stack(found, axis=1) + beside) / np.sqrt(1 + last.eps), 0)
    assert unit(x, partition(["body"]).double())[0].detach().numpy() == pytest.approx(expected, abs=1e-9)


def test_first_norm_is_of_each_number_of_each_joint():
    net, clip = STGCN(in_channels=2), torch.rand(4, 2, 6, 25) * torch.arange(1, 26)
    seen = []
    net.units[0].register_forward_pre_hook(lambda _unit, inputs: seen.append(inputs[0]))
    net.train()(clip)
    mean, deviation = clip.mean((0, 2), keepdim=True), clip.std((0, 2), keepdim=True, unbiased=False)
    assert torch.allclose(seen[0], (clip - mean) / deviation, atol=1e-2)


def test_frames_are_encoded_each_by_itself():
    clip = torch.rand(2, 3, 5, 32, 24)
    encoder = FaceEncoder(3, width=16).eval()
    with torch.inference_mode():
        together = encode_frames(encoder, clip)
        assert together.shape == (2, 5, 16)
        for n, t in product(range(2), range(5)):
            assert torch.allclose(together[n, t], encoder(clip[n : n + 1, :, t])[0], atol=1e-6)


def test_gru_against_its_equations():
    net, clip = FrameGRU(PoseEncoder(3, ["body"], width=8), 4, hidden=6).eval(), torch.randn(1, 3, 5, 25)
    split = [np.split(getattr(net.gru, f"{name}_l0").detach().numpy(), 3) for name in
             ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]  # fmt: skip
    (w_r, w_z, w_n), (u_r, u_z, u_n), (b_r, b_z, b_n), (c_r, c_z, c_n) = split
    with torch.inference_mode():
        frames, found = encode_frames(net.encoder, clip)[0].numpy(), net(clip)
    state = np.zeros(6)
    for x in frames:
        reset = 1 / (1 + np.exp(-(w_r @ x + b_r + u_r @ state + c_r)))
        keep = 1 / (1 + np.exp(-(w_z @ x + b_z + u_z @ state + c_z)))
        new = np.tanh(w_n @ x + b_n + reset * (u_n @ state + c_n))
        state = keep * state + (1 - keep) * new
    linear = net.head[1]
    expected = linear.weight.detach().numpy() @ state + linear.bias.detach().numpy()
    assert found[0].numpy() == pytest.approx(expected, abs=1e-5)


def test_transformer_against_timms_blocks():
    net, clip = FrameTransformer(PoseEncoder(3, ["body"], width=16), 4, frames=6).eval(), torch.randn(2, 3, 5, 25)
    blocks = []
    for layer in net.layers:
        block = Block(16, num_heads=4, qkv_bias=True, norm_layer=nn.LayerNorm).eval()
        weights = layer.state_dict()
        names = {"self_attn.in_proj_": "attn.qkv.", "self_attn.out_proj.": "attn.proj.", "linear": "mlp.fc"}
        for ours, theirs in names.items():
            weights = {name.replace(ours, theirs): value for name, value in weights.items()}
        block.load_state_dict(weights)
        blocks.append(block)
    assert not torch.equal(blocks[0].mlp.fc1.weight, blocks[1].mlp.fc1.weight), "layers must start apart"
    with torch.inference_mode():
        tokens = encode_frames(net.encoder, clip) + net.position[:, :5]
        tokens = nn.Sequential(*blocks)(torch.cat([net.token.expand(2, 1, 16), tokens], dim=1))
        assert torch.allclose(net(clip), net.head(net.norm(tokens[:, 0])), atol=1e-5)


def test_a_longer_clip_than_there_are_positions_is_refused():
    net = FrameTransformer(PoseEncoder(3, ["body"]), frames=4)
    with pytest.raises(ValueError, match=r"at most 4 frames, found .*\(1, 3, 5, 25\)"):
        net(torch.zeros(1, 3, 5, 25))


NETWORKS = {
    "gru": lambda: FrameGRU(PoseEncoder(3, ["body"]), 2, dropout=0),
    "transformer": lambda: FrameTransformer(PoseEncoder(3, ["body"]), 2, dropout=0),
    "stgcn": lambda: STGCN(3, 2, dropout=0),
}


@pytest.mark.parametrize(("name", "steps"), [("gru", 150), ("transformer", 150), ("stgcn", 10)])
def test_a_real_clip_is_told_from_itself_backwards(name, steps, fer_raw):
    """Only the order of the frames differs: what a network over time is there to see."""
    rows = pd.DataFrame({"path": ["slp_face_hand"], "sample_id": ["a"], "onset": [pd.NA], "offset": [pd.NA]})
    (made,) = PoseClip(frames=8, parts=["body"]).make(fer_raw / "openpose", rows)
    clip = torch.from_numpy(made)
    still = clip.mean(1, keepdim=True)
    clip = still + 20 * (clip - still)  # people move by thousandths of their height in these nine frames
    clips, labels = torch.stack([clip, clip.flip(1)]), torch.tensor([0, 1])
    torch.manual_seed(0)
    net = NETWORKS[name]()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.001)
    for _ in range(steps):
        loss = nn.functional.cross_entropy(net(clips), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1


@pytest.mark.parametrize("name", NETWORKS)
def test_a_joint_at_the_origin_is_told_from_one_that_was_not_found(name):
    torch.manual_seed(0)
    net, clip = NETWORKS[name]().eval(), torch.rand(1, 3, 8, 25)
    clip[:, :2, :, 4], clip[:, 2] = 0, 1
    lost = clip.clone()
    lost[:, 2, :, 4] = 0  # the mask alone
    with torch.inference_mode():
        assert (net(clip) - net(lost)).abs().max() > 1e-4
