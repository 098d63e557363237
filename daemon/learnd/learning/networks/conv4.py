"""conv4: the small CNN of the few-shot papers, a little wider (0.39 M parameters).

`conv4` takes 28x28 grey glyphs, `conv4-rgb` 32x32 photographs; `conv4-views` is conv4 that looks nine times.

Four 3x3 convolutions as in Vinyals et al. 2016 ("Matching Networks for One Shot Learning") and Snell et al.
2017 ("Prototypical Networks for Few-shot Learning"), widened from 64 to 32-64-128-256 channels.  The last pooling
is replaced by a learned one (depthwise over the whole last map, 3x3 or 4x4, as in MobileFaceNets, Chen et al. 2018),
which keeps where a stroke is and gives 256 features.

Some things are for speed alone: a map is pooled before its negative values are cut off, which commutes and leaves a
quarter of the work; out of training batch norm is folded into the convolution before it, so that second derivatives
have a layer less to go through; and where gradients are wanted the scale of that goes to what has the fewer numbers,
and a first convolution is a matrix product.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from learnd.learning.networks.augmentation import affine, warp
from learnd.learning.networks.images import Preprocess

GLYPHS = Preprocess(size=28, channels=1, mean=(0.92,), std=(0.22,))  # Omniglot's background: black on white
COLOUR = Preprocess(size=32, channels=3, mean=(0.507, 0.487, 0.441), std=(0.267, 0.256, 0.276))  # CIFAR-100's
WIDTHS = (32, 64, 128, 256)
FEW = 4  # channels
LOOKS, AMOUNT = 8, 0.75  # chosen on validation characters: 4 looks give nearly as much, 16 no more


class Convolution(nn.Conv2d):
    """3x3 with padding 1 and no bias, whose kernels may be scaled: (N, I, H, W), scale (O,) -> (N, O, H, W)."""

    def forward(self, maps: Tensor, scale: Tensor | None = None) -> Tensor:
        if scale is None:
            return F.conv2d(maps, self.weight, padding=1)
        if torch.is_grad_enabled() and self.weight.numel() > maps.numel() // maps.shape[1] * len(scale):
            return F.conv2d(maps, self.weight, padding=1) * scale[:, None, None]  # the fewer numbers to scale
        kernels = self.weight * scale[:, None, None, None]
        if torch.is_grad_enabled() and maps.device.type == "cpu" and maps.shape[1] <= FEW:
            return of_patches(maps, kernels)
        return F.conv2d(maps, kernels, padding=1)


def of_patches(maps: Tensor, kernels: Tensor) -> Tensor:
    """The same convolution as one matrix product, which for a few channels has the quicker gradients on a CPU."""
    count, inputs, height, width = maps.shape
    patches = F.unfold(maps, 3, padding=1).transpose(0, 1).reshape(9 * inputs, -1)  # (9 I, N H W)
    flat = kernels.reshape(-1, 9 * inputs).t().contiguous()  # (9 I, O); as it lies decides how its gradient is made
    return (patches.t() @ flat).view(count, height, width, -1).permute(0, 3, 1, 2)


class Block(nn.Sequential):
    """Convolution, batch norm, a pooling that halves the map if there is one, ReLU."""

    def __init__(self, inputs: int, outputs: int, pool: bool) -> None:
        super().__init__(Convolution(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs))
        self.pool = pool

    def forward(self, maps: Tensor) -> Tensor:
        convolution, norm = self
        if norm.training:
            return F.relu(self._pooled(norm(convolution(maps))))
        scale, shift = folded(cast(nn.BatchNorm2d, norm))  # both (O,)
        return F.relu(self._pooled(convolution(maps, scale)) + shift[:, None, None])

    def _pooled(self, maps: Tensor) -> Tensor:
        return F.max_pool2d(maps, 2) if self.pool else maps


def folded(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Batch norm with the statistics of its training is x * scale + shift; both float32 (channels,)."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    return scale, norm.bias - norm.running_mean * scale


class LearntPool(nn.Module):
    """float32 (N, D, S, S) -> (N, D): every channel's map weighted by a map of its own, and summed.

    A depthwise convolution over the whole map says the same; a product and a sum have quicker second derivatives.
    """

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.Conv2d(channels, channels, side, groups=channels, bias=False).weight.detach())

    def forward(self, maps: Tensor) -> Tensor:
        return (maps * self.weight[:, 0]).sum((2, 3))  # (N, D)


class Conv4(nn.Module):
    """float32 (N, channels, side, side) -> features float32 (N, widths[-1]); the side is at least 8."""

    def __init__(self, channels: int = 1, side: int = 28, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        pooled = len(widths) - 1  # every block but the last halves the map
        self.blocks = nn.Sequential(
            *(
                Block(i, o, pool=level < pooled)
                for level, (i, o) in enumerate(zip((channels, *widths[:-1]), widths, strict=True))
            )
        )
        self.pool = LearntPool(widths[-1], side >> pooled)
        self.norm = nn.BatchNorm1d(widths[-1])

    def forward(self, images: Tensor) -> Tensor:
        maps = self.blocks(images)  # (N, D, S, S), S = side / 8
        features: Tensor = self.norm(self.pool(maps))  # (N, D)
        return features


class Views(Conv4):
    """conv4 that, out of training, looks at every image once as it is and eight times a little warped.

    The features are the mean over these looks, which are the same for every image: what is said of it still depends on
    nothing but it.  The weights are those of conv4; what is trained is conv4.
    """

    maps: Tensor

    def __init__(self) -> None:
        super().__init__()
        maps = affine(LOOKS, torch.Generator().manual_seed(0), AMOUNT)  # (V, 2, 3)
        self.register_buffer("maps", maps, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            return super().forward(images)
        warped = (warp(images, view.expand(len(images), 2, 3), "border") for view in self.maps)
        looks = [super(Views, self).forward(look) for look in (images, *warped)]
        return torch.stack(looks).mean(0)  # (N, D)
