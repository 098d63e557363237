"""The text of `learnd status`.  It imports no rich, so that the command is quick."""

from __future__ import annotations

from collections.abc import Iterator

from learnd.identity import printable
from learnd.messages.convert import Json
from learnd.ui.views.formatting import counted, first_line, moment, size

RESTARTING = "restarting: its worker died; a new one starts after a delay; see the daemon's log"


def status(data: Json) -> Iterator[tuple[str, str]]:
    """Yield the lines of `learnd status`: (label, text)."""
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
