"""Domain adapters: a few tensors that turn a shared trunk into a network for one domain, and touch no other.

The trunk is an EfficientNet of timm's, frozen.  An adapter replaces what is small in it and adds to what is large:
batch norm's affine parameters and statistics (Bilen & Vedaldi 2017, arXiv:1701.07275), the depthwise kernels, and a
low-rank residual to each 1x1 convolution (residual adapters, Rebuffi et al. 2017, arXiv:1705.08045; in the form of
LoRA, Hu et al. 2022, arXiv:2106.09685).  It may leave the trunk after a stage of its own choice, and pool what it
finds there with learned depthwise kernels, which keep where a stroke is (MobileFaceNets, Chen et al. 2018).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from learnd.errors import LearndError

IDENTITY = "identity"  # the name of no adapter at all: the trunk as it is
DOWN, UP = ".down", ".up"  # the two factors of a residual, behind the name of the kernel
POOL = "pool.weight"
ADAPTER_PREFIX = "adapters/"  # in a file: "adapters/<adapter>/<tensor>"
CENTRE = "domain.centre"
LUMA = (0.299, 0.587, 0.114)  # of red, green and blue, as ITU-R 601 and Pillow have it


@dataclass(frozen=True, eq=False)
class Region:
    """Where a domain's images lie among the trunk's own features, scaled to length one.

    centre: their mean (D0,).  radius: a Euclidean distance from it.
    """

    centre: Tensor
    radius: float

    def holds(self, features: Tensor) -> Tensor:
        """Which features (N, D0) lie there: bool (N,)."""
        distance: Tensor = (F.normalize(features, dim=1) - self.centre.to(features)).norm(dim=1)  # (N,)
        return distance <= self.radius


@dataclass(frozen=True, eq=False)  # tensors: the same object or not, and a key in a mapping
class Adapter:
    """What makes a domain's own network of the trunk.

    size: images are shrunk to this side, in pixels.  stages: so many of the trunk's are run.
    tensors: name -> float tensor: "<name>" in place of the trunk's own; "<kernel>.down" (R, I) and "<kernel>.up"
    (O, R), whose product is added to that 1x1 kernel; "pool.weight" (D, 1, P, P) and "norm.*" (D,), which follow where
    the adapter leaves the trunk early.  One that does makes images grey first; one without runs the whole trunk.
    regions: where the images of its domains lie.
    """

    name: str
    size: int
    stages: int
    tensors: Mapping[str, Tensor]
    regions: tuple[Region, ...]

    @property
    def features(self) -> int | None:
        """The width D at which it leaves the trunk; None if it runs the whole of it."""
        pool = self.tensors.get(POOL)
        return None if pool is None else len(pool)

    def near(self, features: Tensor) -> Tensor:
        """Which images look like those of a domain, from the trunk's own features (N, D0): bool (N,)."""
        return torch.stack([region.holds(features) for region in self.regions]).any(0)


class WholeTrunk(nn.Module):
    """Images float32 (N, 3, side, side), normalised as for the trunk -> features float32 (N, D).

    A copy of the trunk that looks at them shrunk, in their colours.
    """

    shrink: Tensor

    def __init__(self, trunk: nn.Module, side: int, size: int) -> None:
        super().__init__()
        for name in ("conv_stem", "bn1", "blocks", "conv_head", "bn2", "global_pool"):
            self.add_module(name, copy.deepcopy(trunk.get_submodule(name)))
        device = next(trunk.parameters()).device
        self.register_buffer("shrink", shrinking(side, size).to(device), persistent=False)  # (size, side)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.shrink @ images @ self.shrink.T  # (N, 3, size, size)
        for layer in self.children():
            maps = layer(maps)
        return maps  # (N, D): pooled


class AdaptedTrunk(nn.Module):
    """Images float32 (N, 3, side, side), normalised as for the trunk -> features float32 (N, D).

    A copy of the trunk's first stages, and behind them a depthwise pooling to D features (a multiple of the last
    stage's channels), of which the mean over the map is where it starts, and a batch norm.
    """

    shrink: Tensor
    luma: Tensor

    def __init__(self, trunk: nn.Module, side: int, size: int, stages: int, features: int) -> None:
        super().__init__()
        self.conv_stem = copy.deepcopy(trunk.get_submodule("conv_stem"))
        self.bn1 = copy.deepcopy(trunk.get_submodule("bn1"))
        self.blocks = copy.deepcopy(cast(nn.Sequential, trunk.get_submodule("blocks"))[:stages])
        device = next(trunk.parameters()).device
        self.register_buffer("shrink", shrinking(side, size).to(device), persistent=False)  # (size, side)
        self.register_buffer("luma", torch.tensor(LUMA, device=device).view(1, 3, 1, 1), persistent=False)
        channels, pixels = self._maps(torch.zeros(1, 3, side, side, device=device)).shape[1:3]
        self.pool = nn.Conv2d(channels, features, pixels, groups=channels, bias=False)
        nn.init.constant_(self.pool.weight, 1 / pixels**2)
        self.norm = nn.BatchNorm2d(features)
        self.to(device)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.norm(self.pool(self._maps(images))).flatten(1)  # (N, D)
        return features

    def _maps(self, images: Tensor) -> Tensor:
        grey = (images * self.luma).sum(1, keepdim=True)  # (N, 1, side, side)
        small = self.shrink @ grey @ self.shrink.T  # (N, 1, size, size): antialiased, as two products
        maps: Tensor = self.blocks(self.bn1(self.conv_stem(small.expand(-1, 3, -1, -1))))  # (N, C, P, P)
        return maps


def shrinking(side: int, size: int) -> Tensor:
    """(size, side): what makes rows of so many pixels smaller, antialiased; both sides of an image are two products."""
    return F.interpolate(torch.eye(side)[None, None], size=(size, side), mode="bilinear", antialias=True)[0, 0]


def network_for(trunk: nn.Module, side: int, size: int, stages: int, features: int | None) -> nn.Module:
    """A domain's own network before anything in it is adapted.  features: None for the whole trunk.

    Raises ValueError if stages are not those of the whole trunk.
    """
    if features is not None:
        return AdaptedTrunk(trunk, side, size, stages, features)
    whole = len(cast(nn.Sequential, trunk.get_submodule("blocks")))
    if stages != whole:
        raise ValueError(f"without a pooling of its own it runs all {whole} stages, not {stages}")
    return WholeTrunk(trunk, side, size)


def adapt_trunk(trunk: nn.Module, side: int, adapter: Adapter) -> nn.Module:
    """The network of an adapter's domain.  Raises LearndError if its tensors do not fit the trunk."""
    tensors = {name: value.float() for name, value in adapter.tensors.items()}
    try:
        network = network_for(trunk, side, adapter.size, adapter.stages, adapter.features)
        network.load_state_dict({**network.state_dict(), **merged(network.state_dict(), tensors)})
    except (AttributeError, KeyError, RuntimeError, ValueError) as error:
        what = f"does not fit the trunk: {error}"
        remedy = "an adapter goes with exactly the trunk that it was trained on"
        raise LearndError(what, where=f"adapter {adapter.name}", remedy=remedy) from error
    return network


def merged(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """An adapter's tensors under the names of the network: each pair of factors as the kernel that it makes.

    own: the network's kernels by name.  Differentiable in tensors.  Raises KeyError if there is no such kernel.
    """
    plain = {name: value for name, value in tensors.items() if not name.endswith((DOWN, UP))}
    for name in (name.removesuffix(DOWN) for name in tensors if name.endswith(DOWN)):
        residual = tensors[name + UP] @ tensors[name + DOWN]  # (O, I)
        plain[name] = own[name] + residual[:, :, None, None]
    return plain


def pack(adapters: Iterable[Adapter]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Adapters as the tensors and the metadata of a file; nothing if there are none.

    A region that is the only one is no list: so it was before there were more, and a state is known by the hash of it.
    """
    tensors: dict[str, Tensor] = {}
    facts: dict[str, dict[str, object]] = {}
    for adapter in adapters:
        centres = torch.stack([region.centre for region in adapter.regions])  # (R, D0)
        radii = [region.radius for region in adapter.regions]
        alone = len(radii) == 1
        own = {**adapter.tensors, CENTRE: centres[0] if alone else centres}
        tensors |= {f"{ADAPTER_PREFIX}{adapter.name}/{name}": value.cpu().contiguous() for name, value in own.items()}
        radius = radii[0] if alone else radii
        facts[adapter.name] = {"size": adapter.size, "stages": adapter.stages, "radius": radius}
    return tensors, {"adapters": json.dumps(facts, sort_keys=True)} if facts else {}


def unpack(
    tensors: Mapping[str, Tensor], note: Mapping[str, str], where: str
) -> tuple[dict[str, Tensor], tuple[Adapter, ...]]:
    """What pack has put into a file, taken apart: the other tensors, and the adapters.  Raises LearndError."""
    others = {name: value for name, value in tensors.items() if not name.startswith(ADAPTER_PREFIX)}
    adapters: list[Adapter] = []
    try:
        for name, facts in json.loads(note.get("adapters", "{}")).items():
            place = f"{ADAPTER_PREFIX}{name}/"
            own = {key.removeprefix(place): value for key, value in tensors.items() if key.startswith(place)}
            centres = torch.atleast_2d(own.pop(CENTRE).float())  # (R, D0)
            radii = facts["radius"] if len(centres) > 1 else [facts["radius"]]
            regions = tuple(Region(*each) for each in zip(centres, radii, strict=True))
            adapters.append(Adapter(name, facts["size"], facts["stages"], own, regions))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        what = f"what it says of its adapters is damaged ({error!r})"
        raise LearndError(what, where=where, remedy="restore the file") from error
    return others, tuple(adapters)
