"""Batch norm with the statistics of the images at hand, in place of those of the training.

With those of a task's support it is MetaBN; with a share of them, TaskNorm-I's blend of both (Bronskill et al. 2020,
"TaskNorm: Rethinking Batch Normalization for Meta-Learning", arXiv:2003.03284).  With those of the queries it is what
the papers on MAML do, and transductive: what is said of an image then depends on the images beside it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from learnd.learning.networks.backbone import Backbone


@torch.no_grad()
def normalised_by(backbone: Backbone, images: Tensor, share: float = 1.0) -> Backbone:
    """A copy of the backbone that normalises with the statistics of these images, uint8 (N, C, S, S), N >= 2.

    share: how much they count, in [0, 1]; the rest is the statistics of the training.
    Raises ValueError if there is one image, or the share is no share.
    """
    if len(images) < 2 or not 0 <= share <= 1:
        raise ValueError("at least two images, and a share between 0 and 1, are needed")
    own = backbone.private()
    norms = [module for module in own.module.modules() if isinstance(module, _BatchNorm)]
    for norm in norms:
        norm.momentum = share
        norm.train()
    own.features_of(images)  # moves the statistics of every layer
    for norm in norms:
        norm.eval()
    return own
