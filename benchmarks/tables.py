"""The table of few-shot results: what the papers say, and what the committed result files say of ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from learnd.learning.networks.backbone import Backbone
from learnd.learning.networks.zoo import read_tensors

RESULTS = Path(__file__).parent / "results" / "fewshot"
CHECKPOINTS = Path(__file__).parent / "checkpoints"
COLUMNS = {"omniglot": ((5, 1), (5, 5), (20, 1), (20, 5)), "cifar-fs": ((5, 1), (5, 5))}

# Per cent, as published; Omniglot on a random split of 1,200 / 423 characters.
PAPERS: dict[str, dict[str, tuple[float | None, ...]]] = {
    "omniglot": {
        "matching": (98.1, 98.9, 93.8, 98.5),
        "protonet": (98.8, 99.7, 96.0, 98.9),
        "maml": (98.7, 99.9, 95.8, 98.9),
        "fomaml": (98.3, 99.2, 89.4, 97.9),
        "reptile": (97.7, 99.5, 89.4, 97.1),
        "metasgd": (99.5, 99.9, 95.9, 99.0),
        "our best": (None, None, 98.1, None),
    },
    "cifar-fs": {"protonet": (55.5, 72.0), "maml": (58.9, 71.5), "ridge": (60.0, 76.1)},
}
TRANSDUCTIVE = frozenset({"maml", "fomaml", "reptile", "metasgd"})  # so were the papers' figures measured
LAKE = {"Prototypical Networks": 13.7, "Siamese networks": 8.0, "people": 4.5, "BPL": 3.3}
INDUCTIVE, TRANSDUCTIVELY = "training", "batch"  # the norm of a result file

FewShotResult = dict[str, Any]


def made_by(algorithm: str, backbone: Backbone) -> dict[str, Any]:
    """The commands and the minutes that made what an algorithm uses, from the metadata of the checkpoints.

    Of the network, of the one that it was trained on from, and so on; and of the algorithm's own meta-learning.
    """
    notes = {path.name: read_tensors(path)[1] for path in sorted(CHECKPOINTS.rglob("*.safetensors"))}
    chain: list[dict[str, str]] = []
    name = _file_of(backbone.name)
    while name in notes:
        chain.insert(0, notes[name])
        name = _file_of(notes[name].get("backbone", ""))
    if algorithm in backbone.meta:
        chain += [note for note in notes.values() if _learnt_by(note) == (algorithm, backbone.hash)]
    minutes = {note["command"]: float(note["minutes"]) for note in chain}  # a command may have made two files
    return {"commands": list(minutes), "minutes": sum(minutes.values())}


def _file_of(backbone: str) -> str:
    return Path(backbone.partition("@")[2]).name


def _learnt_by(note: dict[str, str]) -> tuple[str | None, str | None]:
    return note.get("algorithm"), note.get("backbone_hash")


def read_results() -> list[FewShotResult]:
    return [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]


def print_table() -> int:
    """Print every committed result beside the paper's figure; 1 if there is none."""
    results = read_results()
    console = Console(width=150)
    for data, columns in COLUMNS.items():
        rows = [result for result in results if result["data"] == data]
        for ways, shots in columns:
            console.print(_column(data, (ways, shots), rows))
    for result in (r for r in results if r["data"] == "lake"):
        error = 100 * (1 - result["accuracy"])
        console.print(f"Lake's 20 runs, {result['row']}: error {error:.2f} %; published: {_published()}")
    for result in results:
        console.print(f"{result['minutes']:6.1f} min  {result['command']}", soft_wrap=True)
    for command in dict.fromkeys(command for result in results for command in result["training"]["commands"]):
        console.print(f"trained: {command}", soft_wrap=True)
    return 0 if results else 1


def _column(data: str, column: tuple[int, int], results: list[FewShotResult]) -> Table:
    """One setting of one data set: a row for each algorithm."""
    table = Table(title=f"{data}, {column[0]}-way {column[1]}-shot, per cent", box=MARKDOWN, title_justify="left")
    table.add_column("algorithm")
    for heading in ("paper", "transductive", "inductive", "interval", "episodes", "seeds", "training, min"):
        table.add_column(heading, justify="right")
    number = COLUMNS[data].index(column)
    found = {(r["row"], r["norm"]): r for r in results if (r["ways"], r["shots"]) == column}
    for row in dict.fromkeys([*PAPERS[data], *sorted(name for name, _ in found)]):
        paper = PAPERS[data].get(row, (None,) * len(COLUMNS[data]))[number]
        inductive = found.get((row, INDUCTIVE))
        table.add_row(row, _paper(row, paper), *_cells(paper, inductive, found.get((row, TRANSDUCTIVELY))))
    return table


def _paper(row: str, figure: float | None) -> str:
    return "-" if figure is None else f"{figure:.1f}{' (transductive)' if row in TRANSDUCTIVE else ''}"


def _cells(paper: float | None, inductive: FewShotResult | None, transductive: FewShotResult | None) -> list[str]:
    def shown(result: FewShotResult | None) -> str:
        if result is None:
            return "-"
        ours = round(100 * result["accuracy"], 1)
        return f"{ours:.1f}{'' if paper is None or ours >= paper else ' (below)'}"

    if inductive is None:
        return [shown(transductive), "-", "-", "-", "-", "-"]
    minutes = inductive["training"]["minutes"]
    return [
        shown(transductive),
        shown(inductive),
        f"± {100 * inductive['interval']:.2f}",
        str(inductive["episodes"]),
        ",".join(map(str, inductive["seeds"])),
        f"{minutes:.0f}",
    ]


def _published() -> str:
    return ", ".join(f"{name} {error}" for name, error in LAKE.items())
