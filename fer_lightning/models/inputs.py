"""What networks demand of their input: a size that their dense layers fix, one channel for each stream."""

from torch import Tensor, nn


def require_size(net: nn.Module, images: Tensor, size: int) -> None:
    """Raise ValueError unless images are ``(N, C, size, size)``."""
    if tuple(images.shape[-2:]) != (size, size):
        raise ValueError(
            f"{type(net).__name__} was built for {size}x{size} pixels (size={size}), found an input of shape "
            f"{tuple(images.shape)}; give both the same size"
        )


def two_streams(net: nn.Module, flow: Tensor) -> tuple[Tensor, Tensor]:
    """u and v of ``(N, 2, H, W)``, each ``(N, 1, H, W)``; ValueError for any other number of channels."""
    if flow.shape[1] != 2:
        raise ValueError(
            f"{type(net).__name__} reads the 2 channels u and v, found an input of shape {tuple(flow.shape)}"
        )
    return flow[:, :1], flow[:, 1:]
