"""Tensors by name: parameters, gradients, a state dict."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

Tensors = Mapping[str, Tensor]
StateDict = dict[str, Tensor]
