"""A candidate network for all that a Home holds, as a worker leaves it, written by hand."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path

from learnd.control.dispatch.consolidation import ConsolidationEnd, Consolidator
from learnd.identity import sha256_of
from learnd.messages.convert import to_json
from learnd.messages.outcomes import Consolidation, Form, Outcome, OutcomeStatus, Paired
from learnd.messages.state_files import BACKBONE_FILE, CONSOLIDATION_FILE
from learnd.settings.loading import load
from tests.control.archives import packed
from tests.control.candidates import candidate, named, safetensors
from tests.control.home import Home


def network(seed: int) -> bytes:
    return safetensors({"weight": ("F32", (1,), struct.pack("<f", seed))})


def found(home: Home, seed: int = 0) -> str:
    """The state's first network; its hash."""
    exported = home.state / "exported.safetensors"
    exported.write_bytes(network(seed))
    digest = f"{seed:064d}"
    home.generations.keep_backbone("conv4", exported, digest)
    return digest


def keeper(home: Home) -> Consolidator:
    settings = load(None, {"state": str(home.state), "tasks": str(home.state.parent / "tasks")}, {})
    return Consolidator(settings, home.journal, home.generations, lambda *_: None)


def consolidate(home: Home, seed: int, learners: tuple[str, ...] | None = None) -> ConsolidationEnd | None:
    """A candidate that is better everywhere comes, and is judged.  learners: all, where none are named."""
    consolidator = keeper(home)
    spec = consolidator.spec(1)
    out = Path(spec.out)
    out.mkdir(parents=True)
    (out / BACKBONE_FILE).write_bytes(network(seed))
    forms = []
    for member, revision in zip(spec.members, spec.becomes, strict=True):
        report = replace(named(member.name, revision), backbone_hash=f"{seed:064d}", derived_from=member.revision)
        files = candidate(out / member.id / str(revision), report, exemplars_zip=packed({"a": 1}, seed=seed)).files
        forms.append(Form(member.id, revision, files))
    known = learners if learners is not None else tuple(member.id for member in spec.members)
    judged = tuple(Paired(m.name, (False,), (True,), (False,), (True,)) for m in spec.members)
    sums = f"{seed:064d}", sha256_of(out / BACKBONE_FILE)
    made = Consolidation(spec.parent, *sums, known, tuple(forms), judged, 1, 1, 1, 1, 1.0)
    (out / CONSOLIDATION_FILE).write_text(json.dumps(to_json(made)))
    return consolidator.settle(Outcome(OutcomeStatus.DONE), out)
