"""What is promised to the outer loop: meta-parameters to train, and a loss whose pieces add up."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

import torch
from torch import Tensor

from learnd.learning.conformance.check import Broken, Spared, gap
from learnd.learning.conformance.drawn_inputs import context, episodes_of, gratings, support_of
from learnd.learning.contract.algorithm import Algorithm
from learnd.learning.contract.meta_learner import Episodes, MetaLearner, for_backbone
from learnd.learning.jobs.adapt import adapt, classify
from learnd.learning.metatraining.core_threads import threads
from learnd.learning.metatraining.meta_gradient import MetaGradient
from learnd.learning.networks.backbone import Backbone

CLOSE = 1e-3  # of the largest value: how far sums in another order, through several inner steps, may drift


def meta_parameters(algorithm: Algorithm, backbone: Backbone) -> None:
    """The outer loop starts from named, finite float32 tensors of its own, the same every time."""
    learner = _learner(algorithm)
    first, second = learner.meta_parameters(backbone), learner.meta_parameters(backbone)
    if not first:
        raise Broken("there is none", remedy='return {"name": tensor}, or derive from Algorithm')
    own = dict(backbone.module.named_parameters())
    places = {value.untyped_storage().data_ptr() for value in backbone.module.state_dict().values()}
    for name, value in first.items():
        if value.dtype != torch.float32 or not bool(value.isfinite().all()):
            raise Broken(f"{name!r} is {value.dtype}, or not finite", remedy="return finite float32 tensors")
        if name not in second or not torch.equal(value, second[name]):
            raise Broken(f"{name!r} starts elsewhere each time", remedy="seed a torch.Generator of your own")
        if value.untyped_storage().data_ptr() in places:
            raise Broken(f"{name!r} shares memory with the network", remedy="clone it: see backbone_parameters")
    for name, value in for_backbone(first).items():
        if name not in own or own[name].shape != value.shape:
            remedy = 'after "backbone." comes the name of a parameter of the network, of the same shape'
            raise Broken(f"the network has no parameter {name!r} of shape {tuple(value.shape)}", remedy=remedy)


def meta_loss(algorithm: Algorithm, backbone: Backbone) -> None:
    """The outer loss is a finite scalar, differentiable in the meta-parameters, of uint8 and of float images."""
    learner, episodes = _learner(algorithm), episodes_of(2)
    _check_loss(*_gradients(learner, backbone, episodes))
    floats = replace(episodes, support=episodes.support.float(), query=episodes.query.float())
    _check_loss(*_gradients(learner, backbone, floats))
    if learner.batch_statistics:
        private = backbone.private()
        private.module.train()
        _check_loss(*_gradients(learner, private, episodes))


def _check_loss(loss: Tensor, gradients: dict[str, Tensor]) -> None:
    if loss.shape != () or not bool(loss.isfinite()):
        raise Broken(f"it is {loss}", remedy="return the mean loss of all queries, a scalar")
    if not gradients:
        remedy = "compute it from `meta`, without detach() or torch.no_grad()"
        raise Broken("no meta-parameter has a gradient", remedy=remedy)
    remedy = "look for log(0), sqrt(0), 0 / 0 and detach() on the way"
    wrong = [name for name, value in gradients.items() if not bool(value.isfinite().all())]
    if wrong:
        raise Broken(f"the gradient of {', '.join(wrong)} is not finite", remedy=remedy)
    if not any(bool(value.any()) for value in gradients.values()):
        raise Broken("every gradient is zero", remedy=remedy)


def chunks(algorithm: Algorithm, backbone: Backbone) -> None:
    """The loss of four tasks, and its gradient, are the mean of those of two and two."""
    _adds_up(_learner(algorithm), backbone, 2)


def loop_and_vmap(algorithm: Algorithm, backbone: Backbone) -> None:
    """Tasks one by one and all at once give the same loss and the same gradient."""
    _adds_up(_learner(algorithm), backbone, 1)


def finds_meta_learnt(algorithm: Algorithm, backbone: Backbone) -> None:
    """What was meta-learnt for the backbone changes the answers of a task: adapt finds it there."""
    learner = _learner(algorithm)
    support, images = support_of(backbone), gratings(3, 4, seed=2)[0]
    generator = torch.Generator().manual_seed(1)
    start = learner.meta_parameters(backbone)
    moved = {name: value + 0.1 * torch.randn(value.shape, generator=generator) for name, value in start.items()}
    answers = []
    for meta in ({}, {learner.name: moved}):
        other = replace(backbone, meta=meta)
        answers.append(classify(learner, other, adapt(learner, other, support, context()), images, 3))
    if torch.equal(*answers):
        remedy = "begin adapt with self.meta_of(backbone)"
        raise Broken("with other meta-parameters it predicts the same", remedy=remedy)


def phase(algorithm: Algorithm, backbone: Backbone) -> None:
    """While phase says the same, the loss is a matter of tasks and meta-parameters alone: a GPU may play it again."""
    learner, episodes = _learner(algorithm), episodes_of(2)
    seen: dict[Hashable, tuple[float, Tensor]] = {}
    for number, progress in enumerate((0.0, 0.0, 0.3, 0.6, 0.9)):
        said = learner.phase(progress)
        if said is None:
            continue
        meta = learner.meta_parameters(backbone)
        loss = learner.meta_loss(backbone, meta, replace(episodes, progress=progress), context(seed=number))
        before, other = seen.setdefault(said, (progress, loss))
        if not torch.equal(loss, other):
            remedy = "let phase say None if meta_loss draws from ctx, and something else where progress matters"
            what = f"at {before} and at {progress} of the training it says {said!r}, and one task has two losses"
            raise Broken(what, remedy=remedy)
    if not seen:
        raise Spared("phase says None: nothing of it is recorded")


def side_by_side(algorithm: Algorithm, backbone: Backbone) -> None:
    """Unless phase says None, the cores of a CPU take tasks side by side and find, to the bit, what one finds alone."""
    learner, episodes = _learner(algorithm), episodes_of(4)
    if learner.batch_statistics or learner.phase(episodes.progress) is None:
        raise Spared("one core takes all of its tasks")
    meta = _leaves(learner, backbone)
    answers = []
    for cores in (1, len(episodes)):
        with threads(cores):
            answers.append(MetaGradient(learner, backbone, "loop", recordings=None).of(meta, episodes, context()))
    (loss, gradients), (other, others) = answers
    wrong = [name for name, value in gradients.items() if not torch.equal(value, others[name])]
    if wrong or not torch.equal(loss, other):
        remedy = "keep nothing from task to task outside of what meta_loss is given, or let phase say None"
        raise Broken(f"{', '.join(wrong) or 'the loss'} came out otherwise with {len(episodes)} cores", remedy=remedy)


def _learner(algorithm: Algorithm) -> MetaLearner:
    assert isinstance(algorithm, MetaLearner)  # these checks are made for no other
    return algorithm


def _leaves(learner: MetaLearner, backbone: Backbone) -> dict[str, Tensor]:
    """Where the outer loop starts, as it differentiates by it."""
    return {name: value.detach().clone().requires_grad_() for name, value in learner.meta_parameters(backbone).items()}


def _gradients(learner: MetaLearner, backbone: Backbone, episodes: Episodes) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss, and its gradient in every meta-parameter that it depends on."""
    meta = _leaves(learner, backbone)
    loss = learner.meta_loss(backbone, meta, episodes, context())
    if not loss.requires_grad or loss.shape != ():
        return loss, {}
    found = torch.autograd.grad(loss, list(meta.values()), allow_unused=True)
    return loss.detach(), {name: value for name, value in zip(meta, found, strict=True) if value is not None}


def _adds_up(learner: MetaLearner, backbone: Backbone, size: int) -> None:
    episodes = episodes_of(4)
    whole, gradients = _gradients(learner, backbone, episodes)
    parts = [_gradients(learner, backbone, part) for part in episodes.split(size)]
    mean = torch.stack([loss for loss, _ in parts]).mean()
    _compare("the loss", whole, mean)
    for name, gradient in gradients.items():
        pieces = [found.get(name, torch.zeros_like(gradient)) for _, found in parts]
        _compare(f"the gradient of {name!r}", gradient, torch.stack(pieces).mean(0))


def _compare(what: str, whole: Tensor, parts: Tensor) -> None:
    limit = CLOSE * max(float(whole.abs().max()), 1e-2)
    if not torch.allclose(whole, parts, rtol=CLOSE, atol=limit):
        remedy = "take the mean over the tasks, no task may see another; over_tasks does both"
        raise Broken(f"{what}, of all tasks and of their parts: {gap(whole, parts)}", remedy=remedy)


OUTER_LOOP_TRIALS = (meta_parameters, meta_loss, chunks, loop_and_vmap, finds_meta_learnt, phase, side_by_side)
