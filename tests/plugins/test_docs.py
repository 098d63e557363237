"""docs/plugins.md is true: its example, dropped into a folder as one file, is listed, takes its options and learns."""

from __future__ import annotations

import re
from pathlib import Path

import learnd_plugins
from learnd.learning.catalogue import load_catalogue
from learnd.learning.router import route
from tests.plugins.manual import example
from tests.tiny import context, routing, striped, tiny_backbone, tiny_support, tiny_task

ROOT = Path(__file__).resolve().parents[2]


def test_the_example_of_the_manual_learns_a_task(tmp_path: Path) -> None:
    (tmp_path / "neighbour.py").write_text(example("Neighbour"))
    catalogue = load_catalogue(tmp_path, {"neighbour": {"sharpness": 30.0}})
    assert [plugin.reason for plugin in catalogue.plugins if plugin.state != "ok"] == []
    backbone = tiny_backbone()
    support = tiny_support(backbone, noise=20)
    task = tiny_task(support, algorithm="neighbour")
    chosen = route(task, backbone, support, catalogue.algorithms, routing(), context(), lambda *_: None)
    assert chosen.algorithm == "neighbour"
    algorithm = catalogue.algorithms["neighbour"]
    state = algorithm.adapt(backbone, support, context())
    images, labels = striped(3, 10, seed=4, noise=20)
    assert (algorithm.predict(backbone, state, images).argmax(1) == labels).float().mean() > 0.8


def test_the_list_of_built_in_algorithms_is_complete() -> None:
    listed = re.findall(r"^\| `(\w+)` \|", (ROOT / "plugins/README.md").read_text(), re.M)
    assert sorted(listed) == sorted(learnd_plugins.__all__)
