"""20 alphabets as a sequence of tasks, in several orders: is anything forgotten, does the order leave a trace?

Every task is learnt by the daemon's own learn job (route, adapt, evaluate), 15 drawings a character, and asked about
the other 5: at once, and again when everything is known, by its own state and among everything.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

from benchmarks.figures import Figure, at_least, exactly
from benchmarks.first_light import Drop, omniglot
from learnd.identity import sha256_of
from learnd.learning.jobs.learn import learn
from learnd.learning.jobs.predict import predict
from learnd.learning.jobs.worker_context import WorkerContext
from learnd.learning.networks.backbone import load_backbone
from learnd.learning.plugin_host.catalogue import load_catalogue
from learnd.messages.jobs import BackboneSpec, Member, PredictSpec, RoutingSpec
from learnd.messages.outcomes import Prediction
from learnd.messages.state_files import ADAPTED_FILE, EXEMPLARS_FILE, STATISTICS_FILE
from learnd.settings.keys import Settings
from tests.learning.specs import learn_spec, member_of

ORDERS = 5
COMPARED = (ADAPTED_FILE, STATISTICS_FILE, EXEMPLARS_FILE)  # a report holds seconds


@dataclass(frozen=True)
class Life:
    """One order.  at_once, scoped: task-scoped accuracy by task, when it was learnt and in the end.

    unified: share of all questions answered right among everything; state: of each task the sha256 of its files and
    the answers, and under "" the answers among everything.
    """

    at_once: dict[str, float]
    scoped: dict[str, float]
    unified: float
    state: dict[str, object]


def figures(orders: int) -> list[Figure]:
    worker = WorkerContext(load_backbone(BackboneSpec("conv4")), load_catalogue(None, {}))
    with tempfile.TemporaryDirectory(prefix="learnd-alphabets-") as name:
        drops = omniglot(Path(name))
        lives = []
        for number in range(orders):
            sequence = list(drops)
            random.Random(number).shuffle(sequence)
            lives.append(live(sequence, worker, Path(name) / f"order-{number}"))
    forgotten = max(life.at_once[task] - life.scoped[task] for life in lives for task in life.scoped)
    label = f"alphabets (conv4, {orders} orders)"
    return [
        at_least(f"{label}: unified accuracy, the lowest", min(life.unified for life in lives), 0.91),
        at_least(
            f"{label}: task-scoped accuracy, the lowest mean", min(mean(life.scoped.values()) for life in lives), 0.95
        ),
        Figure("most that a task lost of its own accuracy", f"{forgotten:.4f}", "= 0", forgotten == 0),
        exactly("different final states", len({repr(sorted(life.state.items())) for life in lives}), 1),
    ]


def live(sequence: Sequence[Drop], worker: WorkerContext, room: Path) -> Life:
    """Learn the tasks in this order, and ask."""
    members: list[Member] = []
    at_once: dict[str, float] = {}
    for drop in sequence:
        members.append(learn_drop(drop, worker, room / drop.name))
        at_once[drop.name] = share_right(drop, ask([drop], members[-1:], worker, drop.name))
    scoped: dict[str, float] = {}
    state: dict[str, object] = {}
    for drop, member in zip(sequence, members, strict=True):
        told = ask([drop], members, worker, drop.name)
        scoped[drop.name] = share_right(drop, told)
        state[drop.name] = [sha256_of(Path(member.folder) / file) for file in COMPARED], told
    ordered = sorted(sequence, key=lambda drop: drop.name)
    state[""] = told = ask(ordered, members, worker, None)
    truth = {str(image): (drop.name, kind) for drop in ordered for image, kind in drop.held_out.items()}
    hits = sum((one.top[0].task, one.top[0].class_name) == truth[one.image] for one in told)
    return Life(at_once, scoped, hits / len(truth), state)


def learn_drop(drop: Drop, worker: WorkerContext, out: Path) -> Member:
    """One learn job, with the settings and the seed that the daemon would give it."""
    spec = learn_spec(drop.folder, out, name=drop.name)
    routing = Settings().routing
    spec = replace(
        spec,
        routing=RoutingSpec(routing.budget_seconds, routing.folds, routing.shortlist, routing.good_enough),
        seed=int(spec.digest[:8], 16),
    )
    outcome = learn(spec, worker, _unheard)
    if outcome.status != "done":
        raise RuntimeError(f"{drop.name}: {outcome.reason}")
    return member_of(spec)


def ask(
    drops: Sequence[Drop], members: Sequence[Member], worker: WorkerContext, task: str | None
) -> tuple[Prediction, ...]:
    """The answers about all that was held out of the drops, sorted by file."""
    images = tuple(str(image) for drop in drops for image in sorted(drop.held_out))
    outcome = predict(PredictSpec(images, tuple(members), task, 3, ""), worker, _unheard)
    if outcome.status != "done":
        raise RuntimeError(outcome.reason)
    return outcome.predictions


def share_right(drop: Drop, told: Sequence[Prediction]) -> float:
    return mean(one.top[0].class_name == drop.held_out[Path(one.image)] for one in told)


def _unheard(stage: str, done: int, total: int, algorithm: str = "") -> None:
    """Nobody watches the progress."""
