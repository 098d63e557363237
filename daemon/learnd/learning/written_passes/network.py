"""conv4 with its passes written out, as an inner loop takes it: the one way into this package.  See README.md."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from learnd.learning.contract.meta_learner import BACKBONE
from learnd.learning.networks.backbone import Backbone
from learnd.learning.networks.conv4 import Conv4
from learnd.learning.networks.images import normalise
from learnd.learning.networks.named_tensors import Tensors
from learnd.learning.written_passes.conv4_layers import layers_of
from learnd.learning.written_passes.convolutions import laid, summed
from learnd.learning.written_passes.passes import Back, Forward, Layer, LayerWeights, TangentPass

IMAGES = 80  # per pass: fewer leave more to the interpreter, more gain nothing; measured on conv4


def written_network(backbone: Backbone, adapted: Iterable[str]) -> WrittenNetwork | None:
    """Return the network with its passes written out, or None if there are none for it.

    There are some for conv4 on a CPU, in float32 and eval mode, if all of its parameters are adapted.
    adapted: the names of the adapted parameters, as meta-parameters have them.
    """
    if type(backbone.module) is not Conv4 or backbone.module.training or backbone.device.type != "cpu":
        return None
    own = dict(backbone.module.named_parameters())
    single = all(value.dtype == torch.float32 for value in own.values()) and not torch.is_autocast_enabled("cpu")
    whole = set(adapted) == {BACKBONE + name for name in own}
    return WrittenNetwork(backbone) if single and whole else None


@dataclass(frozen=True)
class WrittenNetwork:
    """A `methods.task_network.TaskNetwork`."""

    backbone: Backbone

    def start(self, params: Tensors, images: Tensor) -> Tensors:
        """Return the adapted parameters of the task with these images, laid out as the passes multiply them."""
        own: tuple[Tensor, ...] = _applied(_Apart, 1, images, *(value.unsqueeze(0) for value in params.values()))
        return {name: value.squeeze(0) for name, value in zip(params, own, strict=True)}

    def view(self, images: Tensor) -> _View:
        """Return a view of images, uint8 (n, C, S, S)."""
        taken = normalise(images, self.backbone.preprocess)
        return _View(*layers_of(cast(Conv4, self.backbone.module), taken))

    def tasks_per_pass(self, images: int) -> int:
        """Return the fastest number of tasks per pass, given the images per task."""
        return max(1, IMAGES // images)


@dataclass(frozen=True)
class _View:
    """x: the images as the first layer takes them."""

    x: Tensor
    layers: tuple[Layer, ...]

    def features(self, params: Tensors) -> Tensor:
        return self.with_gradient(params)[0]

    def with_gradient(self, params: Tensors) -> tuple[Tensor, Callable[[Tensor], Tensors]]:
        names = [BACKBONE + name for layer in self.layers for name in layer.names]
        trace = _Trace(self.layers)
        seen: Tensor = _applied(_Features, trace, self.x.unsqueeze(0), *(params[name].unsqueeze(0) for name in names))

        def pull_back(gradient: Tensor) -> Tensors:
            found: tuple[Tensor, ...] = _applied(_Gradients, trace, seen, gradient.unsqueeze(0))
            return {name: value.squeeze(0) for name, value in zip(names, found, strict=True)}

        return seen.squeeze(0), pull_back  # the backward of squeeze is no copy; that of [0] would be one


class _Trace:
    """What a forward pass keeps for the passes that follow, of K tasks at once."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.layers = layers
        self.weights: list[LayerWeights] = []
        self.at: list[Forward] = []
        self.gradients: list[Back] = []
        self.tangents: list[TangentPass] = []  # once an outer loop differentiates the gradients

    def forward(self, x: Tensor, values: Sequence[Tensor]) -> Tensor:
        """To features (K, N, D)."""
        for layer, own in zip(self.layers, _threes(values), strict=True):
            self.weights.append(layer.folded(own))
            self.at.append(layer.passes.forward(x, self.weights[-1]))
            x = self.at[-1].out
        return x

    def back(self, gradient: Tensor) -> list[Tensor]:
        """Of the features -> of the parameters."""
        assert not self.gradients, "a forward pass has one backward pass"
        self.gradients = self._back(gradient)
        return self._unfolded(self.gradients)

    def along(self, directions: Sequence[Tensor]) -> Tensor:
        """How the features change where the parameters change so."""
        dx: Tensor | None = None
        for number, own in enumerate(_threes(directions)):
            layer, at, weights = self.layers[number], self.at[number], self.weights[number]
            d = layer.folded(own)
            self.tangents.append(TangentPass(d, layer.passes.along(at, weights, d, dx), self.gradients[number]))
            dx = self.tangents[-1].change.dout
        assert dx is not None
        return dx

    def gathered(self, gradient: Tensor) -> list[Tensor]:
        """What a loss of features and gradients is for the parameters; gradient: what it is for the features alone."""
        found = self._unfolded(self._back(gradient))
        self.weights, self.at, self.gradients, self.tangents = (
            [],
            [],
            [],
            [],
        )  # memory that is still warm serves the next
        return found

    def _back(self, gradient: Tensor) -> list[Back]:
        found: list[Back] = []
        tangents: Sequence[TangentPass | None] = self.tangents or [None] * len(self.layers)
        for layer, at, weights, tangent in reversed([*zip(self.layers, self.at, self.weights, tangents, strict=True)]):
            found.append(layer.passes.back(at, weights, gradient, tangent))
            gradient = found[-1].gx if found[-1].gx is not None else gradient
        return found[::-1]

    def _unfolded(self, gradients: Sequence[Back]) -> list[Tensor]:
        pairs = zip(self.layers, gradients, strict=True)
        return [value for layer, gradient in pairs for value in layer.unfolded(gradient.weights)]


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
    """Images and parameters -> features.  What a loss is for the gradients has come back before it comes here.

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


class _Gradients(torch.autograd.Function):
    """A loss's gradient for the features -> those for the parameters.

    The features are an input that nothing is computed of: by it the graph knows that they are behind the gradients.
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
        found: tuple[Tensor, ...] = _applied(_Gradients, trace, *_side_by_side(values, dims[1:], info.batch_size))
        return tuple(value[:, None] for value in found), (0,) * len(found)


def _side_by_side(values: Sequence[Tensor], dims: Sequence[int | None], count: int) -> list[Tensor]:
    """Of each task's (1, ...), those of all: (K, ...)."""
    every = (_leading(value, dim) for value, dim in zip(values, dims, strict=True))
    return [value.expand(count, *value.shape[1:]) for value in every]


def _leading(value: Tensor, dim: int | None) -> Tensor:
    """A task's (1, ...), to which vmap added this dimension -> (K, ...); to none, where all tasks have the same."""
    return value if dim is None else value.movedim(dim, 0).flatten(0, 1)
