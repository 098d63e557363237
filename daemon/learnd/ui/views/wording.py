"""Plain words for what the data says; no rich, so that `learnd status` is quick."""

from __future__ import annotations

import time
from collections.abc import Iterator

from learnd.identity import printable
from learnd.messages.convert import Json

RESTARTING = "restarting: its worker was lost, and the next one waits a while; see the log of the daemon"
COLOURS = {
    "learned": "green",
    "ok": "green",
    "chosen": "green",
    "passed": "green",
    "spared": "dim",
    "running": "cyan",
    "queued": "cyan",
    "waiting": "yellow",
    "warn": "yellow",
    "warning": "yellow",
    "quarantined": "yellow",
    "rejected": "red",
    "failed": "red",
    "out of memory": "red",
    "fail": "red",
    "error": "red",
}


def status(data: Json) -> Iterator[tuple[str, str]]:
    """The lines of `learnd status`: a label, and what there is to say."""
    daemon, watching, knowledge = data["daemon"], data["watching"], data["knowledge"]
    if daemon["state"] == "running":
        state = "running" if data["paused"] is None else f"paused since {moment(data['paused'])}"
        yield "daemon", f"{state} (process {daemon['pid']} on {daemon['host']}, since {moment(daemon['since'])})"
    else:
        yield "daemon", "stopped; learnd run starts it"
    yield "watching", f"{printable(watching['path'])} ({watching['backend']})"
    yield "knowledge", knowledge_line(knowledge)
    states = [f"{count} {state}" for state, count in data["counts"].items() if count]
    yield "tasks", ", ".join(states) or "none yet"
    for device in data["devices"]:
        yield device["name"], device_line(device)
    for plugin in data["plugins"]:
        if plugin["state"] == "quarantined":
            what = f"{plugin['name']} is quarantined: {first_line(plugin['reason'])}"
            yield "plugin", printable(f"{what} ({plugin['source']})")


def knowledge_line(knowledge: Json) -> str:
    if not knowledge["version"]:
        return f"nothing learnt yet (backbone {knowledge['backbone']})"
    classes, tasks = counted(knowledge["classes"], "class", "classes"), counted(knowledge["tasks"], "task")
    known = f"{classes} of {tasks}, {size(knowledge['bytes'])}"
    return f"version {knowledge['version']}: {known}, backbone {knowledge['backbone']}"


def device_line(device: Json) -> str:
    if device["busy"]:
        return f"learning {printable(device['task'])}"
    return {"ready": "idle", "restarting": RESTARTING}.get(device["state"], str(device["state"]))


def counted(number: int, one: str, many: str = "") -> str:
    """ "1 class", "2 classes"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def size(number: int) -> str:
    """Bytes as people say them."""
    return f"{number / 1e6:,.1f} MB" if number >= 100_000 else f"{number / 1e3:,.1f} kB"


def moment(at: float) -> str:
    """Unix seconds as the local time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def one_line(text: str) -> str:
    """A reason, with its remedy if it has one, in a line that cannot steer a terminal."""
    return printable(" ".join(line.strip() for line in text.strip().split("\n")))


def first_line(text: str) -> str:
    """Of a reason, what went wrong: a remedy or a traceback follows."""
    return (text.strip().splitlines() or [""])[0]
