"""A task's identity is its content; its id is its name, made safe."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import pytest

from learnd.errors import StateError, StateUnavailable
from learnd.identity import digest_of_leaves, label, leaf_of, printable, sha256_of, task_id, vouch
from learnd.messages.state_files import REPORT_FILE, STATISTICS_FILE


def digest_of(pairs: Iterable[tuple[str, bytes]]) -> str:
    return digest_of_leaves((path, leaf_of(data)) for path, data in pairs)


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


@pytest.mark.parametrize(
    "name",
    [
        "caf\xe9",
        "\u9ce5\u3000\u56f3\u9451",  # Japanese, with an ideographic space
        "Bl\xe4tter\xa01",  # a no-break space
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian, with a non-joiner
        "\U0001f468\u200d\U0001f33e",  # a farmer: two signs and a joiner
    ],
)
def test_a_name_of_any_script_is_its_own_label(name: str) -> None:
    assert label(name) == name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\nb", r"a\nb"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("gpj.\u202ecats", r"gpj.\u202ecats"),  # turns the direction of what follows
        ("caf\udce9", r"caf\udce9"),  # no UTF-8
    ],
)
def test_what_could_steer_a_terminal_is_escaped_and_a_label_stays_itself(name: str, shown: str) -> None:
    assert label(name) == printable(name) == label(shown) == shown


def test_a_checksum_is_that_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 1_000_000)
    assert sha256_of(tmp_path / "file") == hashlib.sha256(b"x" * 1_000_000).hexdigest()


def test_a_file_of_the_state_is_vouched_for_or_named(tmp_path: Path) -> None:
    path = tmp_path / STATISTICS_FILE
    path.write_bytes(b"what was learnt")
    committed = sha256_of(path)
    vouch(path, committed)
    path.write_bytes(b"what was learns")
    with pytest.raises(StateError, match=r"statistics\.safetensors: is not what was committed"):
        vouch(path, committed)
    path.unlink()
    with pytest.raises(StateError, match="is missing"):
        vouch(path, committed)


def test_a_missing_right_is_no_damage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def locked(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("learnd.identity.sha256_of", locked)  # a real lock keeps nobody out who runs this as root
    with pytest.raises(StateUnavailable, match="this user may not read it") as error:
        vouch(tmp_path / REPORT_FILE, "")
    assert error.value.exit_code == 1
    assert "nothing is damaged" in (error.value.remedy or "")
