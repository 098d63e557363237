"""conv4: the small CNN of the few-shot papers, a little wider (0.39 M parameters), for 28x28 grey glyphs.

Four 3x3 convolutions as in Vinyals et al. 2016 ("Matching Networks for One Shot Learning") and Snell et al.
2017 ("Prototypical Networks for Few-shot Learning"), widened from 64 to 32-64-128-256 channels.  The last pooling
is replaced by a learned one (a depthwise 3x3 over the last 3x3 map, as in MobileFaceNets, Chen et al. 2018),
which keeps where a stroke is and gives 256 features.
"""

from __future__ import annotations

from torch import Tensor, nn

from learnd.learning.images import Preprocess

GLYPHS = Preprocess(size=28, channels=1, mean=(0.92,), std=(0.22,))  # Omniglot's background: black on white
WIDTHS = (32, 64, 128, 256)
FEATURES = WIDTHS[-1]


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
    """float32 (N, 1, 28, 28) -> features float32 (N, 256)."""

    def __init__(self) -> None:
        super().__init__()
        inputs = (1, *WIDTHS[:-1])
        self.blocks = nn.Sequential(
            *(_block(i, o, pool=level < 3) for level, (i, o) in enumerate(zip(inputs, WIDTHS, strict=True)))
        )
        self.pool = nn.Conv2d(WIDTHS[-1], FEATURES, 3, groups=WIDTHS[-1], bias=False)
        self.norm = nn.BatchNorm2d(FEATURES)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.blocks(images)  # (N, 256, 3, 3)
        features: Tensor = self.norm(self.pool(maps)).flatten(1)  # (N, 256)
        return features
