"""The one place for the file names of a state: docs/state.md tells the same, and no other module spells them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from learnd.messages import state_files
from learnd.messages.state_files import AdaptedNote

REPOSITORY = Path(__file__).parents[2]
NAMES = {value for name, value in vars(state_files).items() if name.endswith("_FILE")}
NOTE = AdaptedNote("ridge", {"strength": 1.0}, ("a", "b"), "c0ffee", "glyphs")


@pytest.mark.parametrize("name", sorted(NAMES))
def test_the_docs_name_every_file(name: str) -> None:
    assert name in (REPOSITORY / "docs" / "state.md").read_text()


@pytest.mark.parametrize("name", sorted(NAMES))
def test_no_other_module_spells_it(name: str) -> None:
    own = Path(state_files.__file__)
    modules = [path for path in (REPOSITORY / "daemon").rglob("*.py") if path != own]
    assert [path for path in modules if f'"{name}"' in path.read_text()] == []


def test_the_note_of_an_adapted_state_survives_its_metadata() -> None:
    assert AdaptedNote.read(NOTE.metadata()) == NOTE
    before_adapters = {key: value for key, value in NOTE.metadata().items() if key != "adapter"}
    assert AdaptedNote.read(before_adapters).adapter == "identity"


@pytest.mark.parametrize("damaged", [{"options": "[1]"}, {"options": "{"}, {"classes": "3"}])
def test_a_damaged_note_is_refused(damaged: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"must be|Expecting"):
        AdaptedNote.read({**NOTE.metadata(), **damaged})
    assert json.loads(NOTE.metadata()["classes"]) == ["a", "b"]
