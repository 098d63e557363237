"""What a network makes of a task's images, and the way back from its features to its parameters.

Both are differentiable, as an outer loop needs them.  torch's graph makes them so for any network.  Where a network has
its passes written out (`passes.py`), they do it sooner on a CPU, for one task or under vmap for several.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from learnd.learning.contract.meta_learner import BACKBONE, for_backbone
from learnd.learning.networks.backbone import Backbone
from learnd.learning.networks.conv4 import Conv4
from learnd.learning.networks.images import normalise
from learnd.learning.networks.named_tensors import Tensors
from learnd.learning.written_passes.conv4_layers import layers_of
from learnd.learning.written_passes.convolutions import laid, summed
from learnd.learning.written_passes.passes import Back, Bend, Forward, Layer, LayerWeights

IMAGES = 80  # at once: fewer leave more to the interpreter, more gain nothing; measured on conv4

Seen = tuple[Tensor, Callable[[Tensor], Tensors]]  # features (n, D); their gradients -> those of the parameters


class View(Protocol):
    """Images, as a network with parameters of its own for every task looks at them."""

    def features(self, params: Tensors) -> Tensor:
        """Float32 (n, D), with these in place of those that are adapted."""
        ...

    def look(self, params: Tensors) -> Seen:
        """The features, and the way back from them: to be taken once."""
        ...


@dataclass(frozen=True)
class Body:
    """The network of a task.

    fixed: what stands in place of the network's own of that name, and no step changes.  written: by written passes.
    """

    backbone: Backbone
    fixed: Tensors
    written: bool

    def start(self, params: Tensors, images: Tensor) -> Tensors:
        """The parameters that are adapted, of the task with these images, as the passes take them soonest."""
        if not self.written:
            return params
        own: tuple[Tensor, ...] = _applied(_Apart, 1, images, *(value.unsqueeze(0) for value in params.values()))
        return {name: value.squeeze(0) for name, value in zip(params, own, strict=True)}

    def view(self, images: Tensor) -> View:
        """Of uint8 (n, C, H, H)."""
        if not self.written:
            return _Graphed(self.backbone, self.fixed, images)
        return _Written(*layers_of(cast(Conv4, self.backbone.module), normalise(images, self.backbone.preprocess)))


def body_of(backbone: Backbone, adapted: Tensors, fixed: Tensors) -> Body:
    """adapted: the parameters that are, by their names as meta-parameters.  fixed: as in Body."""
    return Body(backbone, fixed, torch.is_grad_enabled() and is_written(backbone, adapted))


def is_written(backbone: Backbone, adapted: Iterable[str]) -> bool:
    """Would an outer loop that adapts these take written passes?  They are conv4's, in float32 and out of training."""
    if type(backbone.module) is not Conv4 or backbone.module.training or backbone.device.type != "cpu":
        return False
    own = dict(backbone.module.named_parameters())
    single = all(value.dtype == torch.float32 for value in own.values()) and not torch.is_autocast_enabled("cpu")
    return single and set(adapted) == {BACKBONE + name for name in own}


def at_once(images: int) -> int:
    """Tasks of so many images each that written passes do soonest together."""
    return max(1, IMAGES // images)


@dataclass(frozen=True)
class _Graphed:
    """By torch's graph."""

    backbone: Backbone
    fixed: Tensors
    images: Tensor

    def features(self, params: Tensors) -> Tensor:
        return self.backbone.features_of(self.images, {**self.fixed, **for_backbone(params)})

    def look(self, params: Tensors) -> Seen:
        if not params:
            return self.features(params), lambda gradient: {}
        passed = torch.func.vjp(self.features, dict(params))
        return passed[0], lambda gradient: passed[1](gradient)[0]


@dataclass(frozen=True)
class _Written:
    """By written passes.  x: the images as the first layer takes them."""

    x: Tensor
    layers: tuple[Layer, ...]

    def features(self, params: Tensors) -> Tensor:
        return self.look(params)[0]

    def look(self, params: Tensors) -> Seen:
        names = [BACKBONE + name for layer in self.layers for name in layer.names]
        trace = _Trace(self.layers)
        seen: Tensor = _applied(_Features, trace, self.x.unsqueeze(0), *(params[name].unsqueeze(0) for name in names))

        def back(gradient: Tensor) -> Tensors:
            slopes: tuple[Tensor, ...] = _applied(_Slopes, trace, seen, gradient.unsqueeze(0))
            return {name: slope.squeeze(0) for name, slope in zip(names, slopes, strict=True)}

        return seen.squeeze(0), back  # whose way back is no copy, as that of [0] would be


class _Trace:
    """What the passes of one look keep for those that follow.  All of K tasks at once."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.layers = layers
        self.weights: list[LayerWeights] = []
        self.at: list[Forward] = []
        self.slopes: list[Back] = []
        self.bends: list[Bend] = []  # once an outer loop comes back by the slopes

    def forward(self, x: Tensor, values: Sequence[Tensor]) -> Tensor:
        """To features (K, N, D)."""
        for layer, own in zip(self.layers, _threes(values), strict=True):
            self.weights.append(layer.folded(own))
            self.at.append(layer.passes.forward(x, self.weights[-1]))
            x = self.at[-1].out
        return x

    def back(self, gradient: Tensor) -> list[Tensor]:
        """Of the features -> of the parameters."""
        assert not self.slopes, "a look has one way back"
        self.slopes = self._back(gradient)
        return self._unfolded(self.slopes)

    def along(self, directions: Sequence[Tensor]) -> Tensor:
        """How the features change where the parameters change so."""
        dx: Tensor | None = None
        for number, own in enumerate(_threes(directions)):
            layer, at, weights = self.layers[number], self.at[number], self.weights[number]
            d = layer.folded(own)
            self.bends.append(Bend(d, layer.passes.along(at, weights, d, dx), self.slopes[number]))
            dx = self.bends[-1].change.dout
        assert dx is not None
        return dx

    def gathered(self, gradient: Tensor) -> list[Tensor]:
        """What a loss of features and slopes is for the parameters; gradient: what it is for the features alone."""
        found = self._unfolded(self._back(gradient))
        self.weights, self.at, self.slopes, self.bends = [], [], [], []  # memory that is still warm serves the next
        return found

    def _back(self, gradient: Tensor) -> list[Back]:
        found: list[Back] = []
        bends: Sequence[Bend | None] = self.bends or [None] * len(self.layers)
        for layer, at, weights, bend in reversed([*zip(self.layers, self.at, self.weights, bends, strict=True)]):
            found.append(layer.passes.back(at, weights, gradient, bend))
            gradient = found[-1].gx if found[-1].gx is not None else gradient
        return found[::-1]

    def _unfolded(self, slopes: Sequence[Back]) -> list[Tensor]:
        pairs = zip(self.layers, slopes, strict=True)
        return [value for layer, slope in pairs for value in layer.unfolded(slope.weights)]


def _threes(values: Sequence[Tensor]) -> list[LayerWeights]:
    return [LayerWeights(*values[place : place + 3]) for place in range(0, len(values), 3)]


def _applied(function: type[torch.autograd.Function], *inputs: Any) -> Any:
    return function.apply(*inputs)


class _Apart(torch.autograd.Function):
    """Parameters -> those of every task, lying as they multiply.

    Left to vmap, gradients would be summed over the tasks wherever a parameter is used, and slowly for how they lie.
    Nothing is computed of the images: they are each task's own, and by them vmap knows that there are tasks.
    """

    @staticmethod
    def forward(tasks: int, images: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
        lying = (laid(value) if value.dim() == 5 else value for value in values)
        return tuple(value.expand(tasks, *value.shape[1:]) for value in lying)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        _, _, *values = inputs
        ctx.counts = [len(value) for value in values]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        pairs = zip(gradients, ctx.counts, strict=True)
        return None, None, *(summed(value) if count < len(value) else value for value, count in pairs)

    @staticmethod
    def vmap(
        info: Any, dims: Sequence[int | None], tasks: int, images: Tensor, *values: Tensor
    ) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        given = [_leading(value, dim) for value, dim in zip(values, dims[2:], strict=True)]
        found: tuple[Tensor, ...] = _applied(_Apart, info.batch_size, images, *given)
        return tuple(value[:, None] for value in found), (0,) * len(found)


class _Features(torch.autograd.Function):
    """Images and parameters -> features.  What a loss is for the slopes has come back before it comes here.

    Before all of them stands K; vmap adds to it.
    """

    @staticmethod
    def forward(trace: _Trace, x: Tensor, *values: Tensor) -> Tensor:
        return trace.forward(x, values)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.trace = inputs[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *ctx.trace.gathered(gradient)

    @staticmethod
    def vmap(info: Any, dims: Sequence[int | None], trace: _Trace, *values: Tensor) -> tuple[Tensor, int]:
        found: Tensor = _applied(_Features, trace, *_side_by_side(values, dims[1:], info.batch_size))
        return found[:, None], 0


class _Slopes(torch.autograd.Function):
    """A loss's gradient for the features -> those for the parameters.

    The features are an input that nothing is computed of: by it the graph knows that they are behind the slopes.
    """

    @staticmethod
    def forward(trace: _Trace, features: Tensor, gradient: Tensor) -> tuple[Tensor, ...]:
        return tuple(trace.back(gradient))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.trace = inputs[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *directions: Tensor) -> tuple[Tensor | None, ...]:
        change = ctx.trace.along(directions)
        return None, torch.zeros_like(change), change

    @staticmethod
    def vmap(
        info: Any, dims: Sequence[int | None], trace: _Trace, *values: Tensor
    ) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        found: tuple[Tensor, ...] = _applied(_Slopes, trace, *_side_by_side(values, dims[1:], info.batch_size))
        return tuple(value[:, None] for value in found), (0,) * len(found)


def _side_by_side(values: Sequence[Tensor], dims: Sequence[int | None], count: int) -> list[Tensor]:
    """Of each task's (1, ...), those of all: (K, ...)."""
    every = (_leading(value, dim) for value, dim in zip(values, dims, strict=True))
    return [value.expand(count, *value.shape[1:]) for value in every]


def _leading(value: Tensor, dim: int | None) -> Tensor:
    """A task's (1, ...), to which vmap added this dimension -> (K, ...); to none, where all tasks have the same."""
    return value if dim is None else value.movedim(dim, 0).flatten(0, 1)
