"""The command line as a whole: help, mistakes, exit codes, pipes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from learnd.control.journal.journal import JOURNAL
from learnd.ui.cli import COMMANDS, command_named
from tests.patience import PATIENCE
from tests.ui.conftest import Command


def shell(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "learnd", *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_what_the_list_says_and_shows_examples(name: str, learnd: Command) -> None:
    assert command_named(name).name == name

    said = learnd(name, "--help")

    assert said.code == 0
    assert "Examples:" in said.out
    assert f"learnd {name}" in said.out


def every_subcommand() -> list[tuple[str, str]]:
    found = {name: command_named(name) for name in COMMANDS}
    return [(name, sub) for name, group in found.items() if isinstance(group, click.Group) for sub in group.commands]


@pytest.mark.parametrize(("name", "sub"), every_subcommand())
def test_every_command_of_a_command_shows_examples_of_itself(name: str, sub: str, learnd: Command) -> None:
    said = learnd(name, sub, "--help")

    assert said.code == 0
    assert f"learnd {name} {sub}" in said.out.partition("Examples:")[2]


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (["plugins", "chekc", "mine.py"], "did you mean 'check'?"),
        (["config", "validat"], "did you mean 'validate'?"),
        (["completion", "bsh"], "did you mean 'bash'?"),
        (["tasks", "--jsn"], "did you mean '--json'?"),
        (["status", "--watch-backnd", "polling"], "--watch-backend"),
    ],
)
def test_a_mistyped_subcommand_or_option_is_recognised(given: list[str], meant: str, learnd: Command) -> None:
    said = learnd(*given)

    assert said.code == 2
    assert meant in said.err


def test_help_lists_every_command_and_the_exit_codes(learnd: Command) -> None:
    said = learnd("--help")

    assert said.code == 0
    assert all(f"  {name} " in said.out for name in COMMANDS)
    assert "Exit codes: 0 success; 1 a task failed" in said.out
    assert "(disk full, no permission)" in said.out


def test_a_mistyped_command_is_recognised(learnd: Command) -> None:
    said = learnd("taks")

    assert said.code == 2
    assert "did you mean 'tasks'?" in said.err


def test_a_setting_out_of_range_ends_with_2_and_a_remedy(learnd: Command) -> None:
    said = learnd("status", "--backbone", "conv5")

    assert said.code == 2
    assert said.err.startswith("error: --backbone: ")
    assert "-> did you mean conv4?" in said.err


@pytest.mark.parametrize("place", ["before", "after"])
def test_settings_are_options_before_and_after_the_command(place: str, learnd: Command, home: Path) -> None:
    options = ["--state", "elsewhere", "--tasks", "other"]

    said = learnd(*options, "config", "--json") if place == "before" else learnd("config", *options, "--json")

    rows = {row["key"]: (row["value"], row["origin"]) for row in said.json["settings"]}
    assert rows["state"] == (str(home / "elsewhere"), "--state")
    assert rows["tasks"] == (str(home / "other"), "--tasks")


def test_every_key_is_an_option_and_the_last_word_wins(learnd: Command) -> None:
    said = learnd("--state", "one", "config", "--state", "two", "--watch-quiet-seconds", "0.5", "--json")

    rows = {row["key"]: row["value"] for row in said.json["settings"]}
    assert rows["watch.quiet_seconds"] == 0.5
    assert rows["state"].endswith("two")


def test_the_environment_names_the_settings_file_and_the_option_comes_before_it(
    learnd: Command, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "one.yaml").write_text("backbone: conv4\n")
    (home / "two.yaml").write_text("backbone: lite0\n")
    monkeypatch.setenv("LEARND_CONFIG", str(home / "one.yaml"))

    assert learnd("config", "--json").json["source"] == str(home / "one.yaml")
    assert learnd("config", "--json", "--config", "two.yaml").json["source"] == str(home / "two.yaml")


def test_a_damaged_journal_ends_with_3_and_no_traceback(home: Path) -> None:
    (home / "state").mkdir()
    (home / "state" / JOURNAL).write_bytes(b"this is no database" * 100)

    done = shell("status", cwd=home)

    assert done.returncode == 3
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


def test_damage_far_inside_the_journal_ends_with_3(learnd: Command, state: Path) -> None:
    whole = bytearray((state / JOURNAL).read_bytes())
    for page in range(1, len(whole) // 4096):  # all but the first, which names the tables
        whole[page * 4096 : page * 4096 + 4096] = b"\xff" * 4096
    (state / JOURNAL).write_bytes(whole)

    said = learnd("tasks")

    assert said.code == 3
    assert "the journal cannot be read" in said.err


def test_a_closed_pipe_is_no_error(home: Path, state: Path) -> None:
    command = [sys.executable, "-m", "learnd", "tasks", "--json"]
    with subprocess.Popen(command, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 141


@pytest.mark.parametrize(("arguments", "code"), [(["tasks"], 3), (["taks"], 2), (["init", "file/below"], 1)])
def test_the_exit_code_tells_an_error_that_nobody_reads(arguments: list[str], code: int, home: Path) -> None:
    (home / "state").mkdir()
    (home / "state" / JOURNAL).write_bytes(b"this is no database" * 100)
    (home / "file").write_text("in the way")
    reader, stderr = os.pipe()
    os.close(reader)
    try:
        command = [sys.executable, "-m", "learnd", *arguments]
        assert subprocess.run(command, cwd=home, stderr=stderr, timeout=PATIENCE).returncode == code
    finally:
        os.close(stderr)


def test_a_folder_that_may_not_be_made_is_an_error_without_a_traceback(learnd: Command, home: Path) -> None:
    (home / "file").write_text("in the way")

    said = learnd("init", "file/below")

    assert said.code == 1
    assert said.err.startswith("error: ")


def test_there_is_no_colour_where_there_is_no_terminal(home: Path, state: Path) -> None:
    for command in ("status", "tasks", "show birds"):
        assert "\x1b" not in shell(*command.split(), cwd=home).stdout


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(name: str, learnd: Command) -> None:
    said = learnd("completion", name)

    assert said.code == 0
    assert "_LEARND_COMPLETE" in said.out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("learnd st", {"status"}),
        ("learnd show b", {"bad", "birds", "bugs"}),
        ("learnd retry bu", {"bugs"}),
        ("learnd predict --task tw", {"twin"}),
        ("learnd plugins i", {"info"}),
    ],
)
def test_a_shell_completes_commands_and_the_names_of_tasks(
    words: str, expected: set[str], home: Path, state: Path
) -> None:
    asked = {"_LEARND_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}

    done = shell(cwd=home, **asked)

    assert {line.partition(",")[2] for line in done.stdout.splitlines()} == expected


@pytest.mark.parametrize("content", [None, b"no database at all, and longer than the header of one: " * 10])
def test_completion_never_fails(content: bytes | None, home: Path) -> None:
    (home / "state").mkdir()
    if content:
        (home / "state" / JOURNAL).write_bytes(content)
    asked = {"_LEARND_COMPLETE": "bash_complete", "COMP_WORDS": "learnd show b", "COMP_CWORD": "2"}

    done = shell(cwd=home, **asked)

    assert (done.stdout.strip(), done.stderr) == ("", "")
