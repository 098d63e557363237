"""The shared CNN of a state: loaded by name, known by its hash, fed uint8 images.

It may carry adapters, each of which makes of it a network for one domain: one file, one hash, the same images in.
A backbone is frozen and in eval mode: what it says of an image does not depend on the images beside it.
"""

from __future__ import annotations

import copy
import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.func import functional_call

from learnd.errors import LearndError, StateError
from learnd.learning.networks import meta_checkpoints
from learnd.learning.networks.adapters import IDENTITY, Adapter, adapt_trunk, pack
from learnd.learning.networks.images import Preprocess, normalise
from learnd.learning.networks.zoo import NO_BUILDERS, Builder, Network, build_network, fresh_network
from learnd.messages.jobs import BackboneSpec

IMAGES_PER_PASS = 64  # images a forward pass: fixed, so that the same images give the same bits whoever asks


@dataclass(frozen=True)
class Backbone:
    """A frozen network from images to features.

    name: as in config.yaml.  features: the width D.  hash: sha256 (hex) over the architecture, the preprocessing
    and every tensor.  macs: multiply-adds of the convolutions and linear layers for one image.  blocks: prefixes
    of parameter names, the last block of the network first; "tune the last two blocks" is ``blocks[:2]``.
    meta: what algorithms have meta-learnt for exactly this network: algorithm -> name -> tensor.
    architecture: the network's name without the file of its weights.
    adapter: the one at work; None if the network is as it is.  adapters: name -> this backbone under that adapter.
    """

    name: str
    module: nn.Module
    preprocess: Preprocess
    features: int
    hash: str
    macs: int
    device: torch.device
    blocks: tuple[tuple[str, ...], ...]
    meta: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict, hash=False)
    architecture: str = ""
    adapter: Adapter | None = None
    adapters: Mapping[str, Backbone] = field(default_factory=dict, hash=False)

    def features_of(self, images: Tensor, parameters: Mapping[str, Tensor] | None = None) -> Tensor:
        """uint8 (N, C, S, S) -> float32 (N, D) in one pass, differentiable in parameters.

        parameters: name -> tensor, in place of the network's own of that name; the others stay as they are.
        """
        batch = normalise(images.to(self.device), self.preprocess)  # (N, C, S, S)
        features: Tensor = functional_call(self.module, dict(parameters or {}), (batch,))  # (N, D)
        return features

    def embed(self, images: Tensor, parameters: Mapping[str, Tensor] | None = None) -> Tensor:
        """uint8 (N, C, S, S) -> float32 (N, D), IMAGES_PER_PASS images at a time.

        Builds no graph unless parameters are given (and gradients are on, as always in torch).
        """
        with torch.set_grad_enabled(parameters is not None and torch.is_grad_enabled()):
            chunks = [self.features_of(chunk, parameters) for chunk in images.split(IMAGES_PER_PASS)]
            return torch.cat(chunks) if len(images) else torch.empty(0, self.features, device=self.device)

    def adapted(self, name: str) -> Backbone:
        """This backbone under an adapter: of the same hash, since both are known by the whole.  Raises StateError."""
        if name == IDENTITY:
            return self
        if name not in self.adapters:
            what = f"the backbone has no adapter {name!r}"
            raise StateError(what, where=f"backbone {self.name}", remedy="open the state with its own backbone")
        return self.adapters[name]

    def private(self) -> Backbone:
        """The same network with tensors of its own, for a plugin to do with as it likes."""
        return replace(self, module=copy.deepcopy(self.module), adapters={})


def load_backbone(
    spec: BackboneSpec,
    device: torch.device | str = "cpu",
    others: Mapping[str, Builder] = NO_BUILDERS,
    meta: Path | None = None,
    log: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
) -> Backbone:
    """Load a backbone onto a device; with spec.file from the state's own copy, else from where its name says.

    others: the networks that plugins bring.
    It carries what was meta-learnt for it (see `meta_checkpoints`); meta: a folder of the user's own meta checkpoints.
    log: takes one line about each that does not fit.

    Raises LearndError if it cannot be found or does not fit, StateError if its hash is not spec.hash.
    """
    network = build_network(spec.name, Path(spec.file) if spec.file else None, others)
    backbone = _on_device(spec.name, network, device)
    if spec.hash is not None and spec.hash != backbone.hash:
        raise StateError(
            f"this state was made with backbone {spec.hash}, and {spec.file or spec.name} is {backbone.hash}",
            where=f"backbone {spec.name}",
            remedy="put the state's own file back from a backup, or start a new state",
        )
    return replace(backbone, meta=meta_checkpoints.attached(backbone.hash, backbone.module, backbone.device, meta, log))


def fresh_backbone(name: str, seed: int, device: torch.device | str = "cpu") -> Backbone:
    """A backbone with random weights, to be trained; the same for the same seed.  Raises LearndError."""
    return _on_device(name, fresh_network(name, seed), device)


def export(backbone: Backbone, path: Path, note: Mapping[str, str] | None = None, half: bool = False) -> None:
    """Write a .safetensors file from which load_backbone makes the same backbone, bit for bit.

    note: more for its metadata.  half: as float16, for weights that `trained` has rounded to it.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in backbone.module.state_dict().items()}
    if half:
        tensors = {name: value.half() if value.is_floating_point() else value for name, value in tensors.items()}
    adapters, facts = pack(variant.adapter for variant in backbone.adapters.values() if variant.adapter)
    about = {
        **facts,
        "name": backbone.name,
        "hash": backbone.hash,
        "preprocess": json.dumps(asdict(backbone.preprocess), sort_keys=True),
    }
    save_file({**tensors, **adapters}, path, metadata={**(note or {}), **about})


def trained(backbone: Backbone, module: nn.Module, half: bool = False) -> Backbone:
    """The backbone with the weights of module, under the hash that is theirs; adapters go with the old ones.

    half: the weights are rounded to float16, so that a file of half the size holds them exactly.
    """
    copied = copy.deepcopy(module).cpu().float()
    if half:
        copied = copied.half().float()
    return _on_device(backbone.name, Network(backbone.architecture, copied, backbone.preprocess), backbone.device)


def with_adapters(backbone: Backbone, adapters: Iterable[Adapter]) -> Backbone:
    """The same trunk, to the bit, with these adapters, under the hash that is theirs; without anything meta-learnt."""
    trunk = copy.deepcopy(backbone.module).cpu()
    network = Network(backbone.architecture, trunk, backbone.preprocess, tuple(adapters))
    return _on_device(backbone.name, network, backbone.device)


def _on_device(name: str, network: Network, device: torch.device | str) -> Backbone:
    try:
        return _freeze(name, network, torch.device(device))
    except RuntimeError as error:  # a device that is not there, or has no memory left
        raise LearndError(
            f"cannot be put on {device}: {str(error).splitlines()[0]}",
            where=f"backbone {name}",
            remedy="choose devices that `learnd doctor` lists",
        ) from error


def _freeze(name: str, network: Network, device: torch.device) -> Backbone:
    trunk, side = network.module.float(), network.preprocess.size
    adapted = {adapter: adapt_trunk(trunk, side, adapter) for adapter in network.adapters}
    digest = _hash(network)

    def placed(module: nn.Module, adapter: Adapter | None = None) -> Backbone:
        module.eval().requires_grad_(False)
        macs, features = _measure(module, torch.zeros(1, network.preprocess.channels, side, side))
        return Backbone(
            name,
            module.to(device).to(memory_format=torch.channels_last),  # in which a CPU is twice as fast
            network.preprocess,
            features,
            digest,
            macs,
            device,
            _blocks(module),
            architecture=network.architecture,
            adapter=adapter,
        )

    variants = {adapter.name: placed(module, adapter) for adapter, module in adapted.items()}
    return replace(placed(trunk), adapters=variants)


def _hash(network: Network) -> str:
    """sha256 over what the network is made of; one without adapters has the hash that it always had."""
    digest = hashlib.sha256()
    tensors, facts = pack(network.adapters)
    adapters = [facts["adapters"]] if facts else []
    digest.update(json.dumps([network.architecture, asdict(network.preprocess), *adapters], sort_keys=True).encode())
    for name, value in sorted({**network.module.state_dict(), **tensors}.items()):
        digest.update(json.dumps([name, str(value.dtype), list(value.shape)]).encode())
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()


@torch.no_grad()
def _measure(module: nn.Module, image: Tensor) -> tuple[int, int]:
    """Multiply-adds for one image and the width D, from one forward pass with hooks."""
    macs = 0

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal macs
        weight = layer.weight
        assert isinstance(weight, Tensor)
        macs += output.numel() * weight[0].numel()  # each output value is a dot product with one filter

    layers = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    try:
        features = int(module(image).shape[1])
    finally:
        for hook in hooks:
            hook.remove()
    return macs, features


def _blocks(module: nn.Module) -> tuple[tuple[str, ...], ...]:
    """Parameter-name prefixes, last block first: a child is a block, of a sequence each member is one.

    A norm on its own belongs to the layer before it.
    """
    blocks: list[tuple[str, ...]] = []
    for name, child in module.named_children():
        members = child.named_children() if isinstance(child, nn.Sequential | nn.ModuleList) else [("", child)]
        for number, member in members:
            parameters = list(member.parameters())
            if not parameters:
                continue
            prefix = f"{name}.{number}." if number else f"{name}."
            if blocks and all(parameter.ndim == 1 for parameter in parameters):
                blocks[-1] = (*blocks[-1], prefix)
            else:
                blocks.append((prefix,))
    return tuple(reversed(blocks))
