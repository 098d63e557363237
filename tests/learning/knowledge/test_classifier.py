"""One head over all tasks: right, calibrated, honest about strangers, and blind to the order of arrival."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from learnd.learning.knowledge.class_statistics import Statistics, statistics, unit
from learnd.learning.knowledge.classifier import UnifiedHead, _Pool, _pool, _scale, _temperature, _try, unified_head
from learnd.learning.knowledge.classifier_sums import Ledger, added
from learnd.learning.knowledge.grouped_classifier import grouped_head
from learnd.messages.jobs import Member
from learnd.messages.task import Join

WIDTH = 24


def member(number: int) -> Member:
    return Member(f"task{number:04d}-0", f"task {number}", 1, "", "", "")


class World:
    """Gaussian classes on a sphere; one covariance, longer along some axes."""

    def __init__(self, tasks: int, ways: int = 4, width: int = WIDTH, noise: float = 1.0) -> None:
        self.generator = torch.Generator().manual_seed(0)
        self.centres = 2 * torch.randn(tasks, ways, width, generator=self.generator)
        self.spread = noise * torch.linspace(0.2, 2, width)

    def draw(self, task: int, shots: int) -> tuple[Tensor, Tensor]:
        """Features (N, D) and labels (N,) of a task."""
        ways, width = self.centres[task].shape
        labels = torch.arange(ways).repeat_interleave(shots)
        noise = torch.randn(len(labels), width, generator=self.generator) * self.spread
        return self.centres[task][labels] + noise, labels

    def learn(self, task: int, shots: int) -> tuple[Member, Statistics]:
        return member(task), statistics(*self.draw(task, shots), ["a", "b", "c", "d"])


def pool_of(known: list[tuple[Member, Statistics]]) -> _Pool:
    ledger = added(Ledger(), [((one.id, one.revision), own) for one, own in known])
    return _pool([one for one, _ in known], ledger)


def accuracy(head: UnifiedHead, world: World, tasks: int) -> float:
    hits = []
    for task in range(tasks):
        features, labels = world.draw(task, 20)
        told = head.log_posterior(features).argmax(1)
        hits.append((told == task * world.centres.shape[1] + labels).double())
    return float(torch.cat(hits).mean())


def test_it_tells_all_classes_of_all_tasks_apart() -> None:
    world = World(tasks=10)
    head = unified_head([world.learn(task, 5) for task in range(10)])
    assert head.classes[:2] == (("task 0", "a"), ("task 0", "b"))
    assert len(head.classes) == 40  # equal names in two tasks are two classes
    assert accuracy(head, world, 10) > 0.9


def test_the_answer_does_not_depend_on_the_order_of_arrival() -> None:
    world = World(tasks=6)
    known = [world.learn(task, 3) for task in range(6)]
    features, _ = world.draw(0, 5)
    first, other = unified_head(known), unified_head(known[3:] + known[:3][::-1])
    assert first.classes == other.classes
    assert torch.equal(first.log_posterior(features), other.log_posterior(features))
    assert first.radius == other.radius


def test_a_posterior_sums_to_one() -> None:
    world = World(tasks=3)
    posterior = unified_head([world.learn(task, 5) for task in range(3)]).log_posterior(world.draw(0, 5)[0]).exp()
    torch.testing.assert_close(posterior.sum(1), torch.ones(20, dtype=torch.float64))


@pytest.mark.parametrize("shots", [2, 5, 20])
def test_probabilities_are_calibrated(shots: int) -> None:
    """The loss on new images is near the best that any temperature could reach."""
    world = World(tasks=10, noise=2.0)
    head = unified_head([world.learn(task, shots) for task in range(10)])
    drawn = [world.draw(task, 20) for task in range(10)]
    features = torch.cat([x for x, _ in drawn])
    labels = torch.cat([task * 4 + y for task, (_, y) in enumerate(drawn)])
    logits = head.log_posterior(features) * head.temperature
    losses = [float(F.cross_entropy(logits / t, labels)) for t in torch.logspace(-1, 3, 60).tolist()]
    assert float(F.cross_entropy(head.log_posterior(features), labels)) < min(losses) + 0.1


def test_few_images_of_one_class_are_no_handicap() -> None:
    """The mean of two images lies farther off than the mean of forty; that must not cost its class the answer."""
    world = World(tasks=2, width=200, noise=2.5)
    head = unified_head([world.learn(0, 2), world.learn(1, 40)])
    features, _ = world.draw(0, 50)
    task_right = (head.log_posterior(features).argmax(1) < 4).double().mean()
    assert float(task_right) > 0.7
    assert float(head.noise[0]) == pytest.approx(20 * float(head.noise[-1]))


def test_strangers_are_unknown_and_the_known_are_not() -> None:
    world = World(tasks=30, noise=0.7)
    head = unified_head([world.learn(task, 5) for task in range(15)])
    known = torch.cat([world.draw(task, 10)[0] for task in range(15)])
    strangers = torch.cat([world.draw(task, 10)[0] for task in range(15, 30)])
    assert float(head.unknown(known).double().mean()) < 0.06
    assert float(head.unknown(strangers).double().mean()) > 0.9


def test_leaving_an_image_out_is_exact() -> None:
    """The closed form gives the distances of a head that never saw the image, but for the degrees of freedom."""
    features, labels = World(tasks=1).draw(0, 4)
    known = [(replace(member(0), id="task"), statistics(features, labels, list("abcd")))]
    pool, left_out, shrinkage = pool_of(known), 5, 0.3
    trial = _try(pool, shrinkage)
    rest = torch.arange(len(labels)) != left_out
    x, y = unit(features)[rest], labels[rest]
    means = torch.stack([x[y == k].mean(0) for k in range(4)])
    centred = x - means[y]
    covariance = centred.T @ centred / pool.freedom  # as if one more image were there, as the closed form has it
    target = pool.spread.mean() * torch.eye(WIDTH, dtype=torch.float64)
    inverse = torch.linalg.inv((1 - shrinkage) * covariance + shrinkage * target)
    gaps = unit(features)[left_out] - means  # (K, D)
    count = torch.bincount(y).double()
    expected = ((gaps @ inverse) * gaps).sum(1) - trial.tau / count
    samples = added(Ledger(), [(("task", 1), known[0][1])]).samples
    place = next(place for place, sample in enumerate(samples) if (sample.owner, sample.number) == divmod(left_out, 4))
    torch.testing.assert_close(trial.nearest[place], expected.min())


def test_the_witnesses_of_a_member_are_told_as_if_each_had_not_been_learnt() -> None:
    world = World(tasks=3)
    drawn = [world.draw(task, 4) for task in range(3)]
    known = [(member(task), statistics(*drawn[task], list("abcd"))) for task in range(3)]
    head, pool, number = unified_head(known), pool_of(known), 6
    told, owners = head.left_out(known[1][1], 4)
    assert owners.tolist() == [4 + k for k in range(4) for _ in range(4)]
    x = unit(torch.cat([features for features, _ in drawn]))
    y = torch.cat([4 * task + labels for task, (_, labels) in enumerate(drawn)])
    rest = torch.arange(len(y)) != 16 + number
    means = torch.stack([x[rest][y[rest] == k].mean(0) for k in range(12)])
    centred = x[rest] - means[y[rest]]
    target = pool.spread.mean() * torch.eye(WIDTH, dtype=torch.float64)
    covariance = (1 - head.shrinkage) * centred.T @ centred / pool.freedom + head.shrinkage * target
    gaps = x[16 + number] - means  # (K, D)
    tau = float(head.noise[0] * 4)
    distances = ((gaps @ torch.linalg.inv(covariance)) * gaps).sum(1) - tau / torch.bincount(y[rest]).double()
    expected = (distances / (-2 * head.temperature)).log_softmax(0)
    torch.testing.assert_close(told[number], expected, rtol=1e-5, atol=1e-5)  # the scatter is rounded


def test_the_shrunk_metric_is_the_inverse_of_the_shrunk_covariance() -> None:
    features, labels = World(tasks=1).draw(0, 20)
    pool = pool_of([(member(0), statistics(features, labels, list("abcd")))])
    covariance = pool.axes @ pool.spread.diag() @ pool.axes.T
    shrunk = 0.6 * covariance + 0.4 * covariance.trace() / WIDTH * torch.eye(WIDTH, dtype=torch.float64)
    whiten = pool.axes * _scale(pool, 0.4)
    torch.testing.assert_close(whiten @ whiten.T @ shrunk, torch.eye(WIDTH, dtype=torch.float64))


def test_one_image_a_class_is_answered_by_the_nearest() -> None:
    features = torch.eye(4, 8)
    head = unified_head([(member(0), statistics(features, torch.arange(4), list("abcd")))])
    assert head.log_posterior(features).argmax(1).tolist() == [0, 1, 2, 3]
    assert head.radius == math.inf  # nothing is known of how far a class reaches
    assert not head.unknown(-features).any()


def test_equal_images_do_not_divide_by_zero() -> None:
    features = torch.eye(2, 8).repeat_interleave(3, 0)
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    head = unified_head([(member(0), statistics(features, labels, ["a", "b"]))])
    posterior = head.log_posterior(features)
    assert bool(posterior.isfinite().all())
    assert posterior.argmax(1).tolist() == labels.tolist()


def test_no_member_and_members_of_two_backbones_are_refused() -> None:
    with pytest.raises(ValueError, match="no member"):
        unified_head([])
    other = statistics(torch.randn(4, 7), torch.tensor([0, 0, 1, 1]), ["a", "b"])
    with pytest.raises(ValueError, match="width"):
        unified_head([World(tasks=1).learn(0, 2), (member(1), other)])


@pytest.mark.slow
def test_a_thousand_tasks_are_told_apart_by_the_judges_that_can_be_afforded() -> None:
    world = World(tasks=1000, ways=4, width=256)
    head = unified_head([world.learn(task, 5) for task in range(1000)])
    assert len(head.classes) == 4000
    assert accuracy(head, world, 5) > 0.9


def test_a_doubt_between_joined_classes_does_not_soften_the_answer() -> None:
    draw = torch.Generator().manual_seed(0)
    twins = 4 * torch.randn(500, 2, generator=draw)  # each likelier by chance alone
    scores = torch.cat([twins, torch.full((500, 1), -30.0)], 1)
    apart, together = (torch.tensor([right]).expand(500, -1) for right in ([0, -1], [0, 1]))
    assert _temperature(scores, together)[0] < _temperature(scores, apart)[0] / 2


def test_of_a_task_learnt_twice_and_joined_the_answers_are_sure() -> None:
    world = World(tasks=1)
    first, second = world.learn(0, 8), (member(1), world.learn(0, 8)[1])
    joins = tuple(Join(name, "task 0", name) for name in "abcd")
    features, labels = world.draw(0, 25)
    for twin, sure in ((second[0], 0.5), (replace(second[0], joins=joins), 0.99)):
        head = grouped_head([first, (twin, second[1])])
        told = head.log_posterior({"identity": features})
        assert float(told.exp().amax(1).mean()) == pytest.approx(sure, abs=0.12)
        assert len(head.classes) == (4 if twin.joins else 8)
        assert (told.argmax(1) % 4 == labels).double().mean() > 0.95
