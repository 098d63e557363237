"""Which algorithm learns a task: bids make a shortlist, cross-validation on the support decides.

Candidates are measured from the cheapest to the dearest, all on the same folds.  What that may cost is
reckoned from the bids and not from a clock: the same task and seed give the same choice on an idle machine and
on a busy one.  The clock has the last word only where a plugin takes CLOCK_LIMIT times the whole budget: what has
not been measured by then counts as over budget.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from learnd.errors import PluginError, TaskError
from learnd.learning.contract.algorithm import Algorithm, Bid, Context, Overdue, Support
from learnd.learning.jobs.cross_validation import Folds, Measurement, cross_validate, make_folds
from learnd.learning.jobs.worker_context import Progress
from learnd.learning.networks.backbone import Backbone
from learnd.learning.plugin_faults import accuse, explain, outcome_of
from learnd.messages.jobs import RoutingSpec
from learnd.messages.report import CandidateOutcome, CandidateScore
from learnd.messages.task import Task
from learnd.suggest import did_you_mean

TRIFLE = 0.01  # of the budget: what costs less to measure is measured, however good the others are
LEFT_OUT = "was at work when an earlier attempt lost its worker"
CLOCK_LIMIT = 3.0  # by the clock, a routing is cut short only after so many times its budget
LEAST_CLOCK_SECONDS = 120.0  # and not before: a small budget is no reason to be cut short by a busy machine


@dataclass(frozen=True)
class Route:
    """The choice and how it was made.

    ranking: who may learn the task, the chosen one first.  candidates: all algorithms, the highest bid first.
    measurements: the cross-validation of each that was measured.
    """

    ranking: tuple[str, ...]
    candidates: tuple[CandidateScore, ...]
    measurements: Mapping[str, Measurement]

    @property
    def algorithm(self) -> str:
        return self.ranking[0]

    @property
    def measured(self) -> Measurement | None:
        """The chosen one's cross-validation; None if it was not measured."""
        return self.measurements.get(self.algorithm)


@dataclass(frozen=True)
class _Candidate:
    """An algorithm on its way through the routing.  outcome None: it still takes part."""

    name: str
    algorithm: Algorithm
    bid: Bid
    outcome: CandidateOutcome | None = None
    reason: str = ""
    measured: Measurement | None = None

    def out(self, outcome: CandidateOutcome, reason: str) -> _Candidate:
        return replace(self, outcome=outcome, reason=reason)

    def score(self) -> CandidateScore:
        bid, measured = self.bid, self.measured
        assert self.outcome is not None  # the routing is over
        return CandidateScore(
            algorithm=self.name,
            bid=bid.score,
            bid_reason=bid.reason,
            expected_seconds=bid.seconds,
            outcome=self.outcome,
            reason=self.reason,
            accuracy=measured.accuracy if measured else None,
            seconds=measured.seconds if measured else None,
        )


@dataclass(frozen=True)
class Contest:
    """Which algorithms take part, within which limits, and where the routing reports how far it is."""

    algorithms: Mapping[str, Algorithm]
    spec: RoutingSpec
    progress: Progress


def route(task: Task, backbone: Backbone, support: Support, contest: Contest, ctx: Context) -> Route:
    """Choose the algorithm for a task.

    A plugin that raises or breaks its contract is FAILED, and the others go on.  Raises TaskError where
    task.yaml asks for an algorithm that there is not, and PluginError if no candidate is left; MemoryError where
    one of them might have learnt it with more memory: that is the machine's, and may pass.
    Those of spec.without are left out, but for one that task.yaml asks for: without it nothing could come of this.
    """
    pin, algorithms, spec = task.options.algorithm, contest.algorithms, contest.spec
    if pin is not None and pin not in algorithms:
        what = f"there is no algorithm {pin!r}, which task.yaml asks for"
        raise TaskError(what, where=task.name, remedy=did_you_mean(pin, algorithms))
    entered = list(_enter(task, contest, set(spec.without) - {pin}, ctx))
    shortlisted = _shortlist(entered, pin, spec.shortlist)
    folds = make_folds(support, spec.folds, ctx)
    measured = list(_measure(shortlisted, backbone, support, folds, contest, ctx))
    return _decide(measured, spec.budget_seconds)


def fall_back(before: Route, reason: str, outcome: CandidateOutcome = CandidateOutcome.FAILED) -> Route:
    """The next best choice, where the chosen algorithm failed after all; outcome: as in CandidateScore.

    Without one, raises as route does.
    """
    failed, *rest = before.ranking
    marks = {failed: (outcome, reason)}
    if rest:
        marks[rest[0]] = (CandidateOutcome.CHOSEN, f"{failed} {'failed' if outcome == 'failed' else f'ran {outcome}'}")
    candidates = tuple(
        replace(c, outcome=marks[c.algorithm][0], reason=marks[c.algorithm][1]) if c.algorithm in marks else c
        for c in before.candidates
    )
    if not rest:
        raise _none_left(candidates)
    return replace(before, ranking=tuple(rest), candidates=candidates)


def _enter(task: Task, contest: Contest, without: Collection[str | None], ctx: Context) -> Iterator[_Candidate]:
    for number, (name, algorithm) in enumerate(contest.algorithms.items()):
        if name in without:
            yield _Candidate(name, algorithm, Bid(0.0, "", 0.0), CandidateOutcome.FAILED, LEFT_OUT)
            continue
        contest.progress(f"bid of {name}", number, len(contest.algorithms), name)
        yield _bid(name, algorithm, task, ctx)


def _bid(name: str, algorithm: Algorithm, task: Task, ctx: Context) -> _Candidate:
    try:
        bid = algorithm.bid(task)
        fits = isinstance(bid, Bid) and 0.0 <= bid.score <= 1.0 and 0.0 <= bid.seconds < math.inf
        if not fits or not isinstance(bid.reason, str):
            remedy = "return Bid(score in [0, 1], reason, seconds >= 0)"
            raise PluginError(f"its bid is {bid!r}", where=name, remedy=remedy)
    except BaseException as error:
        accuse(error)
        return _Candidate(name, algorithm, Bid(0.0, "", 0.0), outcome_of(error), explain(name, error, ctx.log))
    return _Candidate(name, algorithm, bid)


def _shortlist(entered: Iterable[_Candidate], pin: str | None, size: int) -> list[_Candidate]:
    """All candidates, the highest bid first; those beyond the shortlist are out."""
    ordered = sorted(entered, key=lambda c: (-c.bid.score, c.bid.seconds, c.name))
    running = [c for c in ordered if not c.outcome]
    if pin is None:
        keep = {c.name for c in running[:size] if c.bid.score > 0}
        reason = f"not among the {size} highest bids"
    else:
        keep = {pin}
        reason = f"task.yaml asks for {pin}"
    return [c if c.outcome or c.name in keep else c.out(CandidateOutcome.NOT_SHORTLISTED, reason) for c in ordered]


def _measure(
    candidates: list[_Candidate],
    backbone: Backbone,
    support: Support,
    folds: Folds,
    contest: Contest,
    ctx: Context,
) -> list[_Candidate]:
    """Return the same candidates in the same order, measured or not."""
    spec, progress = contest.spec, contest.progress
    running = [c for c in candidates if not c.outcome]
    running.sort(key=lambda c: (c.bid.seconds, -c.bid.score, c.name))
    limit = time.monotonic() + max(LEAST_CLOCK_SECONDS, CLOCK_LIMIT * spec.budget_seconds)
    inner = replace(ctx, deadline=min(ctx.deadline, limit))
    after: dict[str, _Candidate] = {}
    spent = 0.0  # expected, not measured
    best: _Candidate | None = None
    for number, candidate in enumerate(running):
        progress(f"route {candidate.name}", number, len(running), candidate.name)
        cost = folds.count * candidate.bid.seconds
        reason = _not_worth_it(candidate, best, cost, spent, spec)
        if reason is not None:
            after[candidate.name] = candidate.out(*reason)
        elif folds.count:
            spent += cost
            tried = _try(candidate, backbone, support, folds, inner)
            after[candidate.name] = tried
            best = _better(best, tried)
    progress("route", len(running), len(running))
    return [after.get(c.name, c) for c in candidates]


def _not_worth_it(
    candidate: _Candidate, best: _Candidate | None, cost: float, spent: float, spec: RoutingSpec
) -> tuple[CandidateOutcome, str] | None:
    """Outcome and reason of a candidate that need not be measured; None if it should be.

    cost: expected seconds of measuring it; spent: those of the candidates before it.
    """
    trifle = cost <= TRIFLE * spec.budget_seconds
    if best is not None and best.measured is not None and best.measured.accuracy >= spec.good_enough and not trifle:
        return CandidateOutcome.GOOD_ENOUGH_WITHOUT, f"{best.name} reached {best.measured.accuracy:.3f} and costs less"
    expected = spent + cost + candidate.bid.seconds
    if expected > spec.budget_seconds:
        return CandidateOutcome.OVER_BUDGET, f"would bring the routing to {expected:.1f} s of {spec.budget_seconds:g} s"
    return None


def _better(best: _Candidate | None, tried: _Candidate) -> _Candidate | None:
    if tried.measured is None:
        return best
    if best is not None and best.measured is not None and best.measured.accuracy >= tried.measured.accuracy:
        return best
    return tried


def _try(candidate: _Candidate, backbone: Backbone, support: Support, folds: Folds, ctx: Context) -> _Candidate:
    try:
        measured = cross_validate(candidate.name, candidate.algorithm, backbone, support, folds, ctx)
    except Overdue as error:
        return candidate.out(CandidateOutcome.OVER_BUDGET, f"{error.what} while it was measured")
    except BaseException as error:
        accuse(error)
        return candidate.out(outcome_of(error), explain(candidate.name, error, ctx.log))
    reason = f"{measured.hits} of {measured.tries} support images right in {folds.count} folds"
    return replace(candidate, outcome=CandidateOutcome.MEASURED, reason=reason, measured=measured)


def _decide(candidates: list[_Candidate], budget: float) -> Route:
    def rank(c: _Candidate) -> tuple[float, ...]:
        if c.measured is not None:
            return (0, -c.measured.accuracy, c.bid.seconds, -c.bid.score)
        if c.bid.seconds <= budget:
            return (1, -c.bid.score, c.bid.seconds)
        return (2, c.bid.seconds, -c.bid.score)

    able = [
        c
        for c in candidates
        if c.outcome not in (CandidateOutcome.FAILED, CandidateOutcome.OUT_OF_MEMORY, CandidateOutcome.NOT_SHORTLISTED)
    ]
    ranked = sorted(able, key=lambda c: (rank(c), c.name))
    if not ranked:
        raise _none_left(tuple(c.score() for c in candidates))
    chosen = ranked[0]
    unmeasured = f"nothing could be measured, and {chosen.name} is the best bid"
    decided: list[_Candidate] = []
    for c in candidates:
        if c is chosen:
            c = c.out(CandidateOutcome.CHOSEN, c.reason or unmeasured)
        elif not c.outcome:
            c = c.out(CandidateOutcome.NOT_SHORTLISTED, unmeasured)
        decided.append(c)
    measurements = {c.name: c.measured for c in candidates if c.measured is not None}
    return Route(tuple(c.name for c in ranked), tuple(c.score() for c in decided), measurements)


def _none_left(candidates: tuple[CandidateScore, ...]) -> PluginError | MemoryError:
    reasons = "; ".join(f"{c.algorithm}: {c.reason or c.outcome}" for c in candidates)
    what = f"no algorithm can learn this task ({reasons or 'there are no algorithms'})"
    if any(c.outcome is CandidateOutcome.OUT_OF_MEMORY for c in candidates):
        return MemoryError(what)
    return PluginError(what, remedy="see `learnd plugins list`")
