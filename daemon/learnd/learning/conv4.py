"""conv4: the small CNN of the few-shot papers, a little wider (0.39 M parameters).

`conv4` takes 28x28 grey glyphs, `conv4-rgb` 32x32 photographs.

Four 3x3 convolutions as in Vinyals et al. 2016 ("Matching Networks for One Shot Learning") and Snell et al.
2017 ("Prototypical Networks for Few-shot Learning"), widened from 64 to 32-64-128-256 channels.  The last pooling
is replaced by a learned one (depthwise over the whole last map, 3x3 or 4x4, as in MobileFaceNets, Chen et al. 2018),
which keeps where a stroke is and gives 256 features.
"""

from __future__ import annotations

from torch import Tensor, nn

from learnd.learning.images import Preprocess

GLYPHS = Preprocess(size=28, channels=1, mean=(0.92,), std=(0.22,))  # Omniglot's background: black on white
COLOUR = Preprocess(size=32, channels=3, mean=(0.507, 0.487, 0.441), std=(0.267, 0.256, 0.276))  # CIFAR-100's
WIDTHS = (32, 64, 128, 256)


def _block(inputs: int, outputs: int, pool: bool) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    ]
    if pool:
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


class Conv4(nn.Module):
    """float32 (N, channels, side, side) -> features float32 (N, widths[-1]); the side is at least 8."""

    def __init__(self, channels: int = 1, side: int = 28, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        pooled = len(widths) - 1  # every block but the last halves the map
        self.blocks = nn.Sequential(
            *(
                _block(i, o, pool=level < pooled)
                for level, (i, o) in enumerate(zip((channels, *widths[:-1]), widths, strict=True))
            )
        )
        self.pool = nn.Conv2d(widths[-1], widths[-1], side >> pooled, groups=widths[-1], bias=False)
        self.norm = nn.BatchNorm2d(widths[-1])

    def forward(self, images: Tensor) -> Tensor:
        maps = self.blocks(images)  # (N, D, S, S), S = side / 8
        features: Tensor = self.norm(self.pool(maps)).flatten(1)  # (N, D)
        return features
