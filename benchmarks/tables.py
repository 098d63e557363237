"""The table of few-shot results: what the papers say, and what the committed result files say of ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results" / "fewshot"
COLUMNS = {"omniglot": ((5, 1), (5, 5), (20, 1), (20, 5)), "cifar-fs": ((5, 1), (5, 5))}

# Per cent, as published; Omniglot on a random split of 1,200 / 423 characters.  "t": measured transductively.
PAPERS: dict[str, dict[str, tuple[float | None, ...]]] = {
    "omniglot": {
        "matching": (98.1, 98.9, 93.8, 98.5),
        "protonet": (98.8, 99.7, 96.0, 98.9),
        "maml": (98.7, 99.9, 95.8, 98.9),
        "fomaml": (98.3, 99.2, 89.4, 97.9),
        "reptile": (97.7, 99.5, 89.4, 97.1),
        "metasgd": (99.5, 99.9, 95.9, 99.0),
    },
    "cifar-fs": {"protonet": (55.5, 72.0), "maml": (58.9, 71.5), "ridge": (60.0, 76.1)},
}
TRANSDUCTIVE = frozenset({"maml", "fomaml", "reptile", "metasgd"})  # so were the papers' figures measured
LAKE = {"Prototypical Networks": 13.7, "Siamese networks": 8.0, "people": 4.5, "BPL": 3.3}


def read_results() -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]


def print_table() -> int:
    """Print every committed result beside the paper's figure; 1 where there is none."""
    results = read_results()
    console = Console(width=120)
    for data, columns in COLUMNS.items():
        table = Table(title=f"{data}: paper | ours, per cent, inductive = transductive; -: not measured yet")
        table.add_column("algorithm")
        for ways, shots in columns:
            table.add_column(f"{ways}-way {shots}-shot", justify="right")
        found = {(r["algorithm"], r["ways"], r["shots"]): r for r in results if r["data"] == data}
        for algorithm in dict.fromkeys([*PAPERS[data], *sorted({key[0] for key in found})]):
            paper = PAPERS[data].get(algorithm, (None,) * len(columns))
            cells = [_cell(p, found.get((algorithm, *column))) for p, column in zip(paper, columns, strict=True)]
            table.add_row(f"{algorithm}{' (paper: transductive)' if algorithm in TRANSDUCTIVE else ''}", *cells)
        console.print(table)
    for result in (r for r in results if r["data"] == "lake"):
        error = 100 * (1 - result["accuracy"])
        console.print(f"Lake's 20 runs, {result['algorithm']}: error {error:.2f} %; published: {_published()}")
    for result in results:
        console.print(f"{result['minutes']:6.1f} min  seed {result['seed']}  {result['command']}", soft_wrap=True)
    return 0 if results else 1


def _cell(paper: float | None, result: dict[str, Any] | None) -> str:
    left = "-" if paper is None else f"{paper:.1f}"
    if result is None:
        return f"{left} | -"
    ours = 100 * result["accuracy"]
    verdict = "" if paper is None or ours >= paper else " (below)"
    return f"{left} | {ours:.1f} ± {100 * result['interval']:.1f}{verdict}"


def _published() -> str:
    return ", ".join(f"{name} {error}" for name, error in LAKE.items())
