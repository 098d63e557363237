"""A task's identity is its content; its id is its name, made safe."""

from __future__ import annotations

import pytest

from learnd.identity import digest_of, digest_of_leaves, leaf_of, task_id


def test_an_id_is_readable_safe_in_a_path_and_tells_names_apart() -> None:
    assert task_id("Red Blood/Cells!").startswith("red-blood-cells-")
    assert task_id("犬と猫").startswith("task-")
    assert len(task_id("x" * 300)) == 40 + 1 + 8
    assert task_id("a b") != task_id("a-b")
    assert task_id("caf\xe9") == task_id("cafe\u0301")


def test_a_name_that_is_not_utf8_has_an_id_too() -> None:
    assert task_id("caf\udce9").startswith("caf-")


def test_order_does_not_change_a_digest_and_composed_names_count_as_one() -> None:
    pairs = [("a/1.png", b"one"), ("caf\xe9/2.png", b"two")]

    assert digest_of(pairs) == digest_of(reversed(pairs))
    assert digest_of(pairs) == digest_of([pairs[0], ("cafe\u0301/2.png", b"two")])
    assert digest_of(pairs) == digest_of_leaves((path, leaf_of(data)) for path, data in pairs)


@pytest.mark.parametrize(
    "other",
    [
        [("a/1.png", b"one!")],
        [("b/1.png", b"one")],
        [("a/1.pngo", b"ne")],
        [("a/1.png", b"one"), ("a/2.png", b"")],
        [],
    ],
)
def test_any_other_content_or_name_is_another_digest(other: list[tuple[str, bytes]]) -> None:
    assert digest_of(other) != digest_of([("a/1.png", b"one")])
