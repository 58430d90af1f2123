"""OpenPose's key points as a graph: how many there are, which are joined, how far each is from the neck."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

Edges = tuple[tuple[int, int], ...]

#: Key points of each part, in the order in which arrays hold the parts; the body is BODY_25.
JOINTS = {"body": 25, "face": 70, "hand_left": 21, "hand_right": 21}
NECK = 1


def _chain(*joints: int) -> Edges:
    return tuple(pairwise(joints))


def _hand() -> Edges:
    return tuple(edge for tip in range(4, 21, 4) for edge in _chain(0, tip - 3, tip - 2, tip - 1, tip))


#: What OpenPose draws as lines, in the numbers of the part.
EDGES = {
    "body": (
        *(*_chain(1, 2, 3, 4), *_chain(1, 5, 6, 7), *_chain(1, 8)),  # arms (right first, as everywhere), trunk
        *(*_chain(8, 9, 10, 11), *_chain(8, 12, 13, 14)),  # legs
        *(*_chain(1, 0, 15, 17), *_chain(0, 16, 18)),  # head
        *(*_chain(11, 22, 23), *_chain(11, 24), *_chain(14, 19, 20), *_chain(14, 21)),  # feet
    ),
    "face": (
        *(*_chain(*range(17)), *_chain(*range(17, 22)), *_chain(*range(22, 27))),  # jaw, brows
        *(*_chain(*range(27, 31)), *_chain(*range(31, 36))),  # bridge of the nose, nostrils
        *(*_chain(*range(36, 42), 36), *_chain(*range(42, 48), 42)),  # eyes
        *(*_chain(*range(48, 60), 48), *_chain(*range(60, 68), 60)),  # lips
    ),
    "hand_left": _hand(),
    "hand_right": _hand(),
}
#: Joint of the body and point of the part that are tied, which OpenPose does not draw [chosen]: hands to the wrists;
#: of the face the middles of jaw, brows, nose, nostrils and lips, the eyes' inner corners and pupils to the nose.
TIES = {
    "face": tuple((0, point) for point in (8, 19, 24, 30, 33, 39, 42, 51, 62, 68, 69)),
    "hand_left": ((7, 0),),
    "hand_right": ((4, 0),),
}


def joints(parts: Sequence[str]) -> int:
    """How many key points these parts have.

    Raises:
        ValueError: no part, or an unknown one.
    """
    if not parts or set(parts) - set(JOINTS):
        raise ValueError(f"parts={list(parts)} must be some of {list(JOINTS)}")
    return sum(JOINTS[part] for part in JOINTS if part in parts)


def edges(parts: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of joined key points, in the numbers of an array of these parts.

    Raises:
        ValueError: an unknown part, or no body, which holds the others together.
    """
    if "body" not in parts or set(parts) - set(JOINTS):
        raise ValueError(f"parts={list(parts)} must be some of {list(JOINTS)}, with the body, which joins the others")
    found, start = [], 0
    for part in (part for part in JOINTS if part in parts):
        found += [(start + first, start + second) for first, second in EDGES[part]]
        found += [(joint, start + point) for joint, point in TIES.get(part, ())]
        start += JOINTS[part]
    return found


def partition(parts: Sequence[str]) -> Tensor:
    """The three sets of neighbours of "spatial configuration partitioning" (Yan et al. 2018, arXiv:1801.07455).

    The neighbours of a joint are itself and those that an edge leads to. Set 0 is as far from the centre as the joint
    (the joint itself; in the loops of a face also others), set 1 nearer, set 2 farther. The paper measures distances to
    the gravity centre in training data; here they are edges to the neck [chosen], which is also the centre in the
    authors' code.

    Returns:
        float32, shape ``(3, V, V)``: ``[k, v, w]`` is 1 / (size of set k of joint w) where v is in it, else 0, so that
        each set contributes its mean, as the paper's normalising term Z says.

    Raises:
        ValueError: see `edges`.
    """
    number = joints(parts)
    near = [[joint] for joint in range(number)]
    for first, second in edges(parts):
        near[first].append(second)
        near[second].append(first)
    distance, queue = {NECK: 0}, [NECK]
    for joint in queue:  # grows: breadth first
        fresh = [other for other in near[joint] if other not in distance]
        distance |= dict.fromkeys(fresh, distance[joint] + 1)
        queue += fresh
    sets = [[[0.0] * number for _ in range(number)] for _ in range(3)]
    for joint in range(number):
        away = [distance[other] - distance[joint] for other in near[joint]]
        label = [0 if a == 0 else 1 if a < 0 else 2 for a in away]
        for k, other in zip(label, near[joint], strict=True):
            sets[k][other][joint] = 1 / label.count(k)
    return torch.tensor(sets)


def require_joints(net: nn.Module, pose: Tensor, parts: Sequence[str]) -> None:
    """Raise ValueError unless the last axis of `pose` holds the key points of these parts."""
    if pose.shape[-1] != joints(parts):
        raise ValueError(
            f"{type(net).__name__} was built for the {joints(parts)} key points of parts={list(parts)}, found an input "
            f"of shape {tuple(pose.shape)}; let paper.pose_parts and data.recipe.parts name the same parts"
        )
