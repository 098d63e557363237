"""Backbones and pictures for tests that need no real data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from learnd.learning.metatraining.corpus import ImageClasses
from learnd.learning.networks.adapters import DOWN, UP, AdaptedTrunk, Adapter, Region, WholeTrunk, pack
from learnd.learning.networks.conv4 import Conv4


def random_conv4(path: Path, seed: int = 0) -> Path:
    """A .safetensors file of conv4 with random weights."""
    torch.manual_seed(seed)
    save_file(Conv4().eval().state_dict(), path)
    return path


def random_lite0(seed: int = 0) -> nn.Module:
    """The network of lite0 with random weights."""
    import timm

    torch.manual_seed(seed)
    module: nn.Module = timm.create_model("tf_efficientnet_lite0", num_classes=0)
    return module.eval()


def random_adapter(trunk: nn.Module, name: str = "drawn", seed: int = 0, radius: float = 0.5) -> Adapter:
    """An adapter that changes everything that one may change, float16, at 32 pixels and after three stages."""
    return _random(AdaptedTrunk(trunk, side=128, size=32, stages=3, features=80), 3, name, seed, radius)


def random_whole_adapter(trunk: nn.Module, name: str = "whole", seed: int = 0, radius: float = 0.5) -> Adapter:
    """The same of the whole trunk, in colour."""
    return _random(WholeTrunk(trunk, side=128, size=32), 7, name, seed, radius)


def _random(network: nn.Module, stages: int, name: str, seed: int, radius: float) -> Adapter:
    torch.manual_seed(seed)
    tensors: dict[str, torch.Tensor] = {}
    for key, value in network.state_dict().items():
        if key.startswith(("blocks.", "conv_head.")) and value.ndim == 4 and value.shape[1] > 1:  # a 1x1 kernel
            tensors[key + DOWN] = torch.randn(2, value.shape[1]) * 0.1
            tensors[key + UP] = torch.randn(value.shape[0], 2) * 0.1
        elif key != "conv_stem.weight" and value.is_floating_point():
            tensors[key] = value + 0.1 * torch.rand_like(value)
    centre = nn.functional.normalize(torch.rand(1280), dim=0)
    halves = {key: value.half() for key, value in tensors.items()}
    return Adapter(name, 32, stages, halves, (Region(centre, radius),))


def random_lite0_meta(path: Path, seed: int = 0, radius: float = 0.5) -> Path:
    """A .safetensors file of lite0 with random weights and one adapter, "drawn"; a radius of 2 holds every image."""
    trunk = random_lite0(seed)
    tensors, note = pack([random_adapter(trunk, seed=seed, radius=radius)])
    save_file({**trunk.state_dict(), **tensors}, path, metadata=note)
    return path


def draw_stripes(path: Path, angle: float, seed: int, side: int = 40) -> None:
    """A grey picture of stripes at an angle in degrees, with a little noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:side, 0:side]
    wave = np.sin((x * np.cos(np.radians(angle)) + y * np.sin(np.radians(angle))) * 0.9 + rng.uniform(0, 6))
    grey = 127 + 90 * wave + rng.normal(0, 15, (side, side))
    Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(path)


def stripes_task(folder: Path, shots: int = 5, ways: int = 3, first_seed: int = 0) -> Path:
    """A task of stripes: the class is the angle."""
    for way in range(ways):
        for shot in range(shots):
            draw_stripes(folder / f"at {way * 60}" / f"{shot}.png", way * 60, first_seed + 100 * way + shot)
    return folder


def glyph_root(root: Path, shots: int = 6) -> Path:
    """Four groups of four classes, <group>/<class>/<image>: a bar at one of 16 angles, drawn with a little noise."""
    draw = torch.Generator().manual_seed(0)
    line = torch.linspace(-1, 1, 28)
    y, x = torch.meshgrid(line, line, indexing="ij")
    for number in range(16):
        angle = torch.tensor(number * torch.pi / 16)
        ink = ((x * angle.sin() - y * angle.cos()).abs() < 0.12) & (x * angle.cos() + y * angle.sin() > 0)
        folder = root / f"group{number // 4}" / f"class{number % 4}"
        folder.mkdir(parents=True)
        for shot in range(shots):
            noisy = 255 - ink * 255 * (torch.rand(28, 28, generator=draw) > 0.1)
            Image.fromarray(noisy.to(torch.uint8).numpy()).save(folder / f"{shot}.png")
    return root


def patterns() -> ImageClasses:
    """Eight patterns, six noisy images of each, 128 pixels a side, in four groups."""
    draw = torch.Generator().manual_seed(0)
    shapes = F.interpolate(torch.rand(8, 1, 6, 6, generator=draw), 128).repeat_interleave(6, 0)
    images = (shapes * 200 + torch.rand(48, 1, 128, 128, generator=draw) * 55).to(torch.uint8)
    names = tuple(f"group{k // 2}/class{k}" for k in range(8))
    return ImageClasses(images, tuple(torch.arange(48).split(6)), torch.arange(8) // 2, names)
