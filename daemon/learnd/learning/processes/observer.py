"""The observers' process: tells events, one by one, to the plugins that implement learnd_event.

python -m learnd.learning.processes.observer --plugins DIR --options JSON --barred JSON

< {"importing": {...}} ... {"hello": {"observers": [...]}}
> {"event": {"at": 1.0, "kind": "learned", "task": "birds", "message": "..."}}
< {"calling": {"name": "mail", "source": "/plugins/mail.py"}}      before each call
< {"raised": {"name": ..., "source": ..., "reason": "..."}}        where it raised
< {"delivered": true}                                             when all have been called
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable

from learnd.learning.processes.connection import Line, add_plugin_arguments, connect, load_plugins
from learnd.messages.convert import from_json
from learnd.messages.plugins import Event


def main(arguments: list[str] | None = None) -> None:
    """Load the plugins, say hello, and pass events to them until stdin ends."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_plugin_arguments(parser)
    options = parser.parse_args(arguments)
    line, heard = connect()
    catalogue = load_plugins(options, line)
    line.say({"hello": {"observers": [observer.name for observer in catalogue.observers]}})
    while True:
        event = from_json(Event, heard.get()["event"])
        for observer in catalogue.observers:
            plugin = {"name": observer.name, "source": observer.source}
            line.say({"calling": plugin})
            _tell(observer.observe, event, plugin, line)
        line.say({"delivered": True})


def _tell(observe: Callable[[Event], object], event: Event, plugin: dict[str, str], line: Line) -> None:
    try:
        observe(event)
    except BaseException as error:  # a plugin may raise anything, and is to blame alone
        print(f"{plugin['name']} on {event}:", file=sys.stderr)
        traceback.print_exc()
        line.say({"raised": {**plugin, "reason": traceback.format_exception_only(error)[-1].strip()}})


if __name__ == "__main__":
    main()
