"""The passes through conv4's layers, forward and back, and how they change along a direction: written out.

An outer loop differentiates through an inner step, for which it needs a Hessian, but only its product with a vector
(Pearlmutter 1994, "Fast Exact Multiplication by the Hessian", Neural Computation 6).  Convolutions and scales are
linear in each of two things, ReLU and pooling are choices that were made; so that product takes the same two passes
again, over changes.  torch's graph gets there by rules for any network; here the nine convolutions of a layer share
what they have in common (`learnd.learning.written_passes.convolutions`).

Everything is float32, for K tasks at once with weights of their own; maps are rows, as `convolutions` has them.  In a
name `d` is a change and `g` a loss's gradient: dx, gx; where both meet, a change of a gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from learnd.learning.written_passes.convolutions import Grid, ThreeByThree

_relu_back = torch.ops.aten.threshold_backward


class LayerWeights(NamedTuple):
    """A layer's parameters; or their changes, or their gradients.  scale and shift: (K, O).

    kernels: (K, O, C, 3, 3) of a block; (K, O, 1, S, S), a map of weights for each channel, of the last pooling.
    """

    kernels: Tensor
    scale: Tensor
    shift: Tensor


class Forward(NamedTuple):
    """What a layer made of its input: y = x * k, and out of that; x and k are as they multiply.

    chosen: where in y, flat, each number of a pooled map lay; then nobody asks for y.  None without pooling.
    """

    x: Tensor
    k: Tensor
    y: Tensor
    out: Tensor
    chosen: Tensor | None = None


class Tangent(NamedTuple):
    """The same along a direction; dx: None if the input stays as it is, as an image does."""

    dx: Tensor | None
    dk: Tensor
    dy: Tensor
    dout: Tensor


class Back(NamedTuple):
    """A loss's gradients: for the input (None: nobody asks), for the weights, and for what lies between."""

    gx: Tensor | None
    weights: LayerWeights
    gy: Tensor
    gk: Tensor
    gout: Tensor


class TangentPass(NamedTuple):
    """Along what direction a backward pass changes: of the weights; of the forward pass; and the pass that changes."""

    d: LayerWeights
    change: Tangent
    first: Back


class Passes(Protocol):
    """A layer's passes.  In `back`, gradient is a loss's for the output; with tangent, how that changes."""

    def forward(self, x: Tensor, weights: LayerWeights) -> Forward: ...

    def along(self, at: Forward, weights: LayerWeights, d: LayerWeights, dx: Tensor | None) -> Tangent: ...

    def back(
        self, at: Forward, weights: LayerWeights, gradient: Tensor, tangent: TangentPass | None = None
    ) -> Back: ...


@dataclass(frozen=True)
class Layer:
    """A layer of a network, whose batch norm keeps the statistics of its training.

    names: of its kernels in the network, and of its batch norm's weight and bias.  mean, rate: the statistics (O,);
    rate is one over the deviation.
    """

    passes: Passes
    names: tuple[str, str, str]
    mean: Tensor
    rate: Tensor

    def folded(self, values: LayerWeights) -> LayerWeights:
        """Kernels, weight and bias -> kernels, scale and shift: linear, so the same for changes."""
        scale = values.scale * self.rate
        return LayerWeights(values.kernels, scale, values.shift - self.mean * scale)

    def unfolded(self, gradients: LayerWeights) -> LayerWeights:
        """A loss's gradients for what `folded` returns -> those for what it takes."""
        scale = (gradients.scale - self.mean * gradients.shift) * self.rate
        return LayerWeights(gradients.kernels, scale, gradients.shift)


@dataclass(frozen=True)
class PooledPasses:
    """ThreeByThree, batch norm with the statistics of its training, the greatest of each 2x2, ReLU.

    The scale goes to the kernels, which are fewer numbers than such maps.  image: the input are images, which come as
    `convolution` has them multiply, and of whose gradient nobody asks.
    """

    convolution: ThreeByThree
    image: bool

    def forward(self, x: Tensor, weights: LayerWeights) -> Forward:
        k = self.convolution.of_kernels(weights.kernels * _wide(weights.scale))
        x = x if self.image else self.convolution.of_maps(x)
        y = self.convolution.of_products(torch.bmm(x, k))
        greatest, chosen = _pooled(y)
        out = _bordered(greatest)
        torch.add(greatest, weights.shift[:, None], out=out[:, :-1]).relu_()
        return Forward(x, k, _nothing(y), out, chosen)

    def along(self, at: Forward, weights: LayerWeights, d: LayerWeights, dx: Tensor | None) -> Tangent:
        dk = (d.kernels * _wide(weights.scale)).addcmul_(weights.kernels, _wide(d.scale))
        dx, dk, dy = _moved(self.convolution, at, dk, dx)
        assert at.chosen is not None
        dout = torch.empty_like(at.out)
        chosen = dy.flatten().index_select(0, at.chosen).view_as(dout[:, :-1])
        torch.add(chosen, d.shift[:, None], out=dout[:, :-1])
        return Tangent(dx, dk, _nothing(dy), _relu_back(dout, at.out, 0))

    def back(self, at: Forward, weights: LayerWeights, gradient: Tensor, tangent: TangentPass | None = None) -> Back:
        gout = _relu_back(gradient, at.out, 0)
        assert at.chosen is not None
        chosen = gout[:, :-1].reshape(-1)
        whole = gout.new_zeros(4 * len(chosen)).scatter_(0, at.chosen, chosen)
        gy = self.convolution.to_products(whole.view(len(gout), -1, gout.shape[2]))
        gx, gk = _to_both(None if self.image else self.convolution, gy, at, tangent)
        gk = self.convolution.to_kernels(gk)
        kernels, scale = gk * _wide(weights.scale), (gk * weights.kernels).sum((2, 3, 4))
        if tangent:
            kernels.addcmul_(tangent.first.gk, _wide(tangent.d.scale))
            scale.add_((tangent.first.gk * tangent.d.kernels).sum((2, 3, 4)))
        return Back(gx, LayerWeights(kernels, scale, gout.sum(1)), _nothing(gy) if self.image else gy, gk, gout)


@dataclass(frozen=True)
class PlainPasses:
    """The same without pooling; the scale goes to the maps, which are then the fewer numbers."""

    convolution: ThreeByThree

    def forward(self, x: Tensor, weights: LayerWeights) -> Forward:
        k, x = self.convolution.of_kernels(weights.kernels), self.convolution.of_maps(x)
        y = self.convolution.of_products(torch.bmm(x, k))
        out = _bordered(y)
        torch.addcmul(weights.shift[:, None], y, weights.scale[:, None], out=out[:, :-1]).relu_()
        return Forward(x, k, y, out)

    def along(self, at: Forward, weights: LayerWeights, d: LayerWeights, dx: Tensor | None) -> Tangent:
        dx, dk, dy = _moved(self.convolution, at, d.kernels, dx)
        dout = torch.empty_like(at.out)
        torch.addcmul(d.shift[:, None], dy, weights.scale[:, None], out=dout[:, :-1])
        dout[:, :-1].addcmul_(at.y, d.scale[:, None])
        return Tangent(dx, dk, dy, _relu_back(dout, at.out, 0))

    def back(self, at: Forward, weights: LayerWeights, gradient: Tensor, tangent: TangentPass | None = None) -> Back:
        gout = _relu_back(gradient, at.out, 0)
        maps = gout[:, :-1]
        gy, scale = maps * weights.scale[:, None], (maps * at.y).sum(1)
        if tangent:
            first = tangent.first.gout[:, :-1]
            gy.addcmul_(first, tangent.d.scale[:, None])
            scale.add_((first * tangent.change.dy).sum(1))
        gy = self.convolution.to_products(gy)
        gx, gk = _to_both(self.convolution, gy, at, tangent)
        return Back(gx, LayerWeights(self.convolution.to_kernels(gk), scale, gout.sum(1)), gy, gk, gout)


@dataclass(frozen=True)
class LastPasses:
    """The learnt pooling and the batch norm after it: maps of this grid -> features (K, N, D)."""

    grid: Grid

    def forward(self, x: Tensor, weights: LayerWeights) -> Forward:
        x, k = self._maps(x), _spread(weights.kernels)
        y = (x * k).sum(2)  # (K, N, D)
        return Forward(x, k, y, torch.addcmul(weights.shift[:, None], y, weights.scale[:, None]))

    def along(self, at: Forward, weights: LayerWeights, d: LayerWeights, dx: Tensor | None) -> Tangent:
        assert dx is not None
        dx, dk = self._maps(dx), _spread(d.kernels)
        dy = (at.x * dk).addcmul_(dx, at.k).sum(2)
        dout = torch.addcmul(d.shift[:, None], dy, weights.scale[:, None]).addcmul_(at.y, d.scale[:, None])
        return Tangent(dx, dk, dy, dout)

    def back(self, at: Forward, weights: LayerWeights, gradient: Tensor, tangent: TangentPass | None = None) -> Back:
        gy, scale = gradient * weights.scale[:, None], (gradient * at.y).sum(1)
        if tangent:
            gy.addcmul_(tangent.first.gout, tangent.d.scale[:, None])
            scale.add_((tangent.first.gout * tangent.change.dy).sum(1))
        gx, gk = gy[:, :, None] * at.k, (gy[:, :, None] * at.x).sum(1)
        if tangent:
            assert tangent.change.dx is not None
            first = tangent.first.gy[:, :, None]
            gx.addcmul_(first, tangent.change.dk)
            gk.add_((first * tangent.change.dx).sum(1))
        maps = gx.new_zeros(len(gx), self.grid.rows + 1, gx.shape[3])
        maps.index_copy_(1, self.grid.order.flatten(), gx.flatten(1, 2))
        return Back(maps, LayerWeights(gk.mT.reshape(weights.kernels.shape), scale, gradient.sum(1)), gy, gk, gradient)

    def _maps(self, x: Tensor) -> Tensor:
        count = len(self.grid.order)
        return x.index_select(1, self.grid.order.flatten()).view(len(x), count, -1, x.shape[2])  # (K, N, S S, D)


def _moved(
    convolution: ThreeByThree, at: Forward, d: Tensor, dx: Tensor | None
) -> tuple[Tensor | None, Tensor, Tensor]:
    """Changes of kernels (K, O, C, 3, 3) and maps -> the same as they multiply, and that of y."""
    dk = convolution.of_kernels(d)
    products = torch.bmm(at.x, dk)
    if dx is not None:
        dx = convolution.of_maps(dx)
        products.baddbmm_(dx, at.k)
    return dx, dk, convolution.of_products(products)


def _to_both(
    maps: ThreeByThree | None, gy: Tensor, at: Forward, tangent: TangentPass | None
) -> tuple[Tensor | None, Tensor]:
    """The gradients for the maps, where their convolution is given, and for the kernels as they multiply."""
    gk = torch.bmm(at.x.mT, gy)
    if maps is None:
        return None, gk
    gx = torch.bmm(gy, at.k.mT)
    if tangent:
        assert tangent.change.dx is not None
        gx.baddbmm_(tangent.first.gy, tangent.change.dk.mT)
        gk.baddbmm_(tangent.change.dx.mT, tangent.first.gy)
    return maps.to_maps(gx), gk


def _wide(scale: Tensor) -> Tensor:
    return scale[:, :, None, None, None]


def _spread(kernels: Tensor) -> Tensor:
    return kernels.flatten(2).mT[:, None]  # (K, 1, S S, D)


def _bordered(maps: Tensor) -> Tensor:
    """(K, R, O) -> room for as many (K, R + 1, O), with a border."""
    room = maps.new_empty(len(maps), maps.shape[1] + 1, maps.shape[2])
    room[:, -1] = 0
    return room


def _nothing(values: Tensor) -> Tensor:
    """In place of what nobody asks for any more: its memory may serve the next."""
    return values.new_empty(0)


def _pooled(y: Tensor) -> tuple[Tensor, Tensor]:
    """Rows in four parts (K, 4 R, O) -> the greatest (K, R, O), and where in y they lay (K R O,)."""
    tasks, rows, width = y.shape
    parts = y.view(tasks, 4, -1, width).permute(0, 3, 1, 2)  # as torch's pooling is soonest done: maps, channels last
    out, place = F.max_pool2d(parts, (4, 1), return_indices=True)  # (K, O, 1, R)
    start = torch.arange(0, tasks * rows * width, rows * width)[:, None, None] + torch.arange(width)
    return out[:, :, 0].mT, torch.add(start, place[:, :, 0].mT, alpha=width).flatten()
