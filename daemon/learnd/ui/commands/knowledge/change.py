"""Ask for a change of the knowledge: the daemon carries it out, or this process if none runs."""

from __future__ import annotations

from learnd.messages.convert import Json
from learnd.ui.options import CommandLine
from learnd.ui.views import json_output


def request_change(asked: CommandLine, kind: str, argument: str) -> Json:
    """What the change came to, as JSON data.  Raises LearndError if it cannot be made."""
    from dataclasses import asdict

    from learnd.control.knowledge.change_requests import ask

    settings = asked.settings()
    with json_output.opened(settings):  # or say that there is nothing yet
        pass
    return asdict(ask(settings, kind, argument))
