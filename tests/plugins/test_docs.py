"""The plugins of docs/plugins.md and README.md are true: each, as one file, keeps the contract and learns a task."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import learnd_plugins
from learnd.learning.conformance import checks_for
from learnd.learning.jobs.algorithm_choice import Contest, route
from learnd.learning.plugin_host.catalogue import load_catalogue
from tests.tiny import context, routing, striped, tiny_backbone, tiny_support, tiny_task

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/plugins.md").read_text() + (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", TEXT, re.S | re.M)
NAME = re.compile(r'name: ClassVar\[str\] = "(\w+)"')
EXAMPLES = {found[1]: code for code in BLOCKS if (found := NAME.search(code))}
TESTS = [code for code in BLOCKS if "import pytest" in code]


def test_there_is_an_example_of_each_kind() -> None:
    assert list(EXAMPLES) == ["neighbour", "last_block", "one_step", "city_block"]


def test_the_plugin_of_the_readme_is_as_short_as_it_says() -> None:
    assert len([line for line in EXAMPLES["city_block"].splitlines() if line.strip()]) <= 30


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_of_the_manual_learns_a_task_and_keeps_the_contract(name: str, tmp_path: Path) -> None:
    (tmp_path / f"{name}.py").write_text(EXAMPLES[name])
    options = {"neighbour": {"sharpness": 30.0}} if name == "neighbour" else {}
    catalogue = load_catalogue(tmp_path, options)
    assert [plugin.reason for plugin in catalogue.plugins if plugin.state != "ok"] == []
    backbone = tiny_backbone()
    support = tiny_support(backbone, noise=20)
    task = tiny_task(support, algorithm=name)
    chosen = route(task, backbone, support, Contest(catalogue.algorithms, routing(), lambda *_: None), context())
    assert chosen.algorithm == name
    algorithm = catalogue.algorithms[name]
    state = algorithm.adapt(backbone, support, context())
    images, labels = striped(3, 10, seed=4, noise=20)
    assert (algorithm.predict(backbone, state, images).argmax(1) == labels).float().mean() > 0.8
    for check in checks_for(algorithm, new_process=False):
        check()


def test_the_test_of_the_manual_is_a_test(tmp_path: Path) -> None:
    (code,) = TESTS
    space: dict[str, object] = {}
    exec(compile(code, "docs/plugins.md", "exec"), space)
    test = space["test_it_keeps_the_contract"]
    (mark,) = test.pytestmark  # type: ignore[attr-defined]
    assert mark.args[0] == "check"
    for check in mark.args[1][:-1]:  # the last starts a process: test_every_built_in.py does that for all
        test(check)  # type: ignore[operator]


def test_the_list_of_built_in_algorithms_is_complete() -> None:
    listed = re.findall(r"^\| `(\w+)` \|", (ROOT / "plugins/README.md").read_text(), re.M)
    assert sorted(listed) == sorted(learnd_plugins.__all__)
