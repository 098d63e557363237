"""JSON to frozen values: what fits is revived as it was, and what does not is an error that names the field."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learnd.messages.convert import BadJson, from_json, to_json
from learnd.messages.jobs import JobSpec
from learnd.messages.outcomes import Outcome, OutcomeStatus, Surveyed
from learnd.messages.report import CandidateOutcome, CandidateScore, MeasuredOn
from learnd.messages.task import ImageFile, ImageSplit, Problem, Severity, TaskOptions


@dataclass(frozen=True)
class Inner:
    sizes: tuple[int, ...]
    pair: tuple[float, str] = (0.5, "x")


@dataclass(frozen=True)
class Sample:
    name: str
    ratio: float = 1.0
    loud: bool = False
    mode: Literal["near", "far"] = "near"
    limit: int | None = None
    inner: Inner | None = None
    by_name: dict[str, int] = field(default_factory=dict)
    anything: Any = None


def test_a_whole_number_fits_where_a_fraction_is_expected() -> None:
    read = from_json(Sample, {"name": "a", "ratio": 2})
    assert (read.ratio, type(read.ratio)) == (2.0, float)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({}, "Sample.name is missing: it must be text"),
        ({"name": 5}, "Sample.name must be text, not 5"),
        ({"name": "a", "nmae": "b"}, "Sample.nmae is unknown: Sample has no such field"),
        ({"name": "a", "ratio": "high"}, "Sample.ratio must be a number, not 'high'"),
        ({"name": "a", "ratio": True}, "Sample.ratio must be a number, not True"),
        ({"name": "a", "limit": True}, "Sample.limit must be a whole number or null, not True"),
        ({"name": "a", "limit": 1.5}, "Sample.limit must be a whole number or null, not 1.5"),
        ({"name": "a", "loud": 1}, "Sample.loud must be true or false, not 1"),
        ({"name": "a", "mode": "nere"}, "Sample.mode must be 'near' or 'far', not 'nere'"),
        ({"name": "a", "inner": {"sizes": [1, "two"]}}, "Sample.inner.sizes[1] must be a whole number, not 'two'"),
        ({"name": "a", "inner": {"sizes": [], "pair": [1]}}, "Sample.inner.pair must be a list of 2 items, not [1]"),
        ({"name": "a", "inner": []}, "Sample.inner must be an object with the fields of Inner, not []"),
        ({"name": "a", "by_name": {"x": "y"}}, "Sample.by_name.x must be a whole number, not 'y'"),
        ([], "Sample must be an object with the fields of Sample, not []"),
        ("x" * 100, "Sample must be an object with the fields of Sample, not 'xxx"),
    ],
)
def test_what_does_not_fit_is_named_with_what_was_expected(data: Any, says: str) -> None:
    with pytest.raises(BadJson) as caught:
        from_json(Sample, data)
    assert str(caught.value).startswith(says)


@pytest.mark.parametrize("status", [5, None, "well", ["done"]])
def test_the_status_of_an_outcome_is_one_of_its_words(status: Any) -> None:
    with pytest.raises(BadJson, match=r"Outcome\.status must be 'done' or 'rejected'"):
        from_json(Outcome, {"status": status})


def test_a_job_that_an_earlier_learnd_queued_is_read() -> None:
    stored = {"folder": "/tasks/a", "files": [{"path": "x/1.png", "class_name": "x", "split": "query"}], "options": {}}
    assert from_json(JobSpec, stored) == JobSpec("/tasks/a", (ImageFile("x/1.png", "x", ImageSplit.QUERY),))


TEXT = st.text(max_size=8)
OUTCOMES = st.builds(
    Outcome,
    status=st.sampled_from(OutcomeStatus),
    reason=TEXT,
    problems=st.lists(st.builds(Problem, TEXT, TEXT, TEXT, TEXT, st.sampled_from(Severity)), max_size=2).map(tuple),
    files=st.dictionaries(TEXT, TEXT, max_size=2),
    surveyed=st.lists(st.builds(Surveyed, TEXT, st.sampled_from(MeasuredOn), TEXT), max_size=2).map(tuple),
)
SCORES = st.builds(
    CandidateScore,
    algorithm=TEXT,
    bid=st.floats(0, 1),
    bid_reason=TEXT,
    expected_seconds=st.floats(0, 100),
    outcome=st.sampled_from(CandidateOutcome),
    accuracy=st.none() | st.floats(0, 1),
)
SPECS = st.builds(
    JobSpec,
    folder=TEXT,
    files=st.lists(st.builds(ImageFile, TEXT, TEXT, st.sampled_from(ImageSplit)), max_size=3).map(tuple),
    options=st.builds(TaskOptions, priority=st.integers(), holdout=st.floats(0, 1), alias=st.dictionaries(TEXT, TEXT)),
)


@given(st.one_of(OUTCOMES, SCORES, SPECS))
def test_values_survive_the_way_through_json(value: Any) -> None:
    assert from_json(type(value), json.loads(json.dumps(to_json(value)))) == value
