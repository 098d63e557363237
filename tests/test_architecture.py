"""The floors of the house: a module imports only from the floors below it, wherever the import stands.

Imports that go strictly down can have no cycle.  The control plane and the face are also imported for real,
in a process of their own, to see that nothing heavy comes in by a third door.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from learnd.face.cli import COMMANDS
from learnd.plugindir import TEST

# Each list from the lowest floor up; one line, one floor.  A new module gets its line here.
COMMON = [
    "learnd",
    "learnd.errors",
    "learnd.identity",
    "learnd.domain",
    "learnd.wire",
    "learnd.metrics",
    "learnd.scalars",
    "learnd.schema",
    "learnd.joins",
    "learnd.plugindir",
    "learnd.recipe",
    "learnd.layers",
    "learnd.settings",
    "learnd.template",
]
CONTROL = [
    "learnd.control",
    # folders -> facts
    "learnd.control.scan",
    "learnd.control.readiness",
    "learnd.control.retries",
    "learnd.control.layout",
    "learnd.control.pixels",
    "learnd.control.intake",
    "learnd.control.inspector",
    "learnd.control.mounts",
    "learnd.control.doorbell",
    "learnd.control.watcher",
    # facts -> the journal
    "learnd.control.durable",
    "learnd.control.eviction",
    "learnd.control.lock",
    "learnd.control.database",
    "learnd.control.taskbook",
    "learnd.control.archives",
    "learnd.control.joins",
    "learnd.control.leaderboard",
    "learnd.control.relations",
    "learnd.control.steps",
    "learnd.control.history",
    "learnd.control.jobs",
    "learnd.control.requests",
    "learnd.control.surveys",
    "learnd.control.journal",
    "learnd.control.budget",
    # the journal -> work -> knowledge
    "learnd.control.workers",
    "learnd.control.gate",
    "learnd.control.judgement",
    "learnd.control.generations",
    "learnd.control.results",
    "learnd.control.surveying",
    "learnd.control.strikes",
    "learnd.control.slots",
    "learnd.control.posting",
    "learnd.control.pool",
    "learnd.control.sleep",
    "learnd.control.observers",
    "learnd.control.dispatch",
    "learnd.control.owners",
    "learnd.control.inspections",
    "learnd.control.verdicts",
    "learnd.control.folders",
    "learnd.control.aliasing",
    "learnd.control.undoing",
    "learnd.control.service",
]
LEARNING = [
    "learnd.learning",
    "learnd.learning.blame",
    # files -> tensors -> features
    "learnd.learning.tensorfile",
    "learnd.learning.images",
    "learnd.learning.readers",
    "learnd.learning.augment",
    "learnd.learning.convolutions",
    "learnd.learning.passes",
    "learnd.learning.conv4",
    "learnd.learning.adapters",
    "learnd.learning.zoo",
    "learnd.learning.checkpoints",
    "learnd.learning.backbones",
    "learnd.learning.exemplars",
    "learnd.learning.keeping",
    # the contract, and what plugins are built of
    "learnd.learning.algorithm",
    "learnd.learning.contract",
    "learnd.learning.calibrate",
    "learnd.learning.inner",
    "learnd.learning.heads",
    "learnd.learning.metalearner",
    "learnd.learning.looks",
    "learnd.learning.gradient",
    "learnd.learning.headlearner",
    "learnd.learning.subspace",
    "learnd.learning.hooks",
    # which network of the backbone's
    "learnd.learning.choosing",
    # what is remembered
    "learnd.learning.memory",
    "learnd.learning.ledger",
    "learnd.learning.unified",
    "learnd.learning.grouped",
    "learnd.learning.relations",
    "learnd.learning.headfile",
    "learnd.learning.keeper",
    "learnd.learning.heldout",
    # a task learnt, a question answered
    "learnd.learning.fetching",
    "learnd.learning.finding",
    "learnd.learning.catalogue",
    "learnd.learning.bench",
    "learnd.learning.reading",
    "learnd.learning.marking",
    "learnd.learning.measure",
    "learnd.learning.router",
    "learnd.learning.adapting",
    "learnd.learning.learner",
    "learnd.learning.predictor",
    "learnd.learning.survey",
    "learnd.learning.normalisation",
    "learnd.learning.evaluation",
    # over many tasks: meta-training
    "learnd.learning.corpus",
    "learnd.learning.episodes",
    "learnd.learning.batching",
    "learnd.learning.recording",
    "learnd.learning.crew",
    "learnd.learning.heap",
    "learnd.learning.metagradient",
    "learnd.learning.snapshots",
    "learnd.learning.training",
    "learnd.learning.engine",
    "learnd.learning.pretrain",
    "learnd.learning.adapterlearning",
    "learnd.learning.adapters_train",
    "learnd.learning.adapters_extend",
    # while nothing is to be learnt
    "learnd.learning.recall",
    "learnd.learning.candidate",
    "learnd.learning.anew",
    "learnd.learning.consolidate",
    # processes
    "learnd.learning.process",
    "learnd.learning.worker",
    "learnd.learning.observer",
    # is a plugin true to the contract?
    "learnd.learning.conformance.specimen",
    "learnd.learning.conformance.world",
    "learnd.learning.conformance.check",
    "learnd.learning.conformance.tasks",
    "learnd.learning.conformance.manners",
    "learnd.learning.conformance.outer",
    "learnd.learning.conformance.elsewhere",
    "learnd.learning.conformance",
    "learnd.learning.conformance.__main__",
    # meta-training as a command
    "learnd.learning.curves",
    "learnd.learning.metajob",
    "learnd.learning.metatrain",
]
FACE = [
    "learnd.face",
    "learnd.face.wording",
    "learnd.face.screen",
    "learnd.face.confusion",
    "learnd.face.report",
    "learnd.face.snapshot",
    "learnd.face.collections",
    "learnd.face.examples",
    "learnd.face.options",
    "learnd.face.oneshot",
    # the dashboard
    "learnd.face.dashboard",
    "learnd.face.dashboard.facts",
    "learnd.face.dashboard.gauges",
    "learnd.face.dashboard.board",
    "learnd.face.dashboard.keys",
    "learnd.face.dashboard.looks",
    "learnd.face.dashboard.frame",
    "learnd.face.dashboard.terminal",
    "learnd.face.dashboard.lines",
    "learnd.face.dashboard.deeds",
    "learnd.face.dashboard.app",
    "learnd.face.dashboard.host",
    "learnd.face.recipes",
    "learnd.face.heatmap",
    "learnd.face.curve",
    # the commands
    "learnd.face.overview",
    "learnd.face.top",
    "learnd.face.checking",
    "learnd.face.asking",
    "learnd.face.tending",
    "learnd.face.pausing",
    "learnd.face.page",
    "learnd.face.reporting",
    "learnd.face.undoing",
    "learnd.face.aliasing",
    "learnd.face.history",
    "learnd.face.consolidating",
    "learnd.face.conformance",
    "learnd.face.plugins",
    "learnd.face.metatraining",
    "learnd.face.machine",
    "learnd.face.checkup",
    "learnd.face.doctor",
    "learnd.face.starting",
    "learnd.face.cli",
    "learnd.__main__",
]
PLUGINS = ["learnd_plugins"]  # one file an algorithm; they know the learning wing, and nobody knows them

# What each wing stands on.  Control and learning meet in JSON files only.
BELOW = {
    "COMMON": COMMON,
    "CONTROL": COMMON + CONTROL,
    "LEARNING": COMMON + LEARNING,
    "FACE": COMMON + CONTROL + FACE,
    "PLUGINS": COMMON + LEARNING[: LEARNING.index("learnd.learning.memory")],
}
WINGS = {"COMMON": COMMON, "CONTROL": CONTROL, "LEARNING": LEARNING, "FACE": FACE, "PLUGINS": PLUGINS}
HEAVY = {"torch", "torchvision", "timm", "numpy", "sklearn", "learnd_plugins"}
HEAVY_AT_IMPORT = [*sorted(HEAVY), "learnd.learning"]

REPOSITORY = Path(__file__).resolve().parents[1]
ROOTS = {"learnd": REPOSITORY / "daemon" / "learnd", "learnd_plugins": REPOSITORY / "plugins"}


def _modules() -> dict[str, Path]:
    """Every module of the two packages by its import name."""
    found = {}
    for package, root in ROOTS.items():
        for path in sorted(root.rglob("*.py")):
            if path.name.startswith(TEST):  # of a plugin of one's own, which may lie here in a checkout
                continue
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join((package, *parts)).removesuffix(".__init__")] = path
    return found


MODULES = _modules()


def _wing(module: str) -> str | None:
    """The wing a module belongs to; None where no list names it."""
    if module.startswith("learnd_plugins"):
        return "PLUGINS"
    return next((wing for wing, floors in WINGS.items() if module in floors), None)


def _imports(path: Path) -> set[str]:
    """The full name of everything imported in the file, also within functions and under TYPE_CHECKING."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: say the whole name, not a relative one"
            below = {f"{node.module}.{alias.name}" for alias in node.names}
            submodules = below & MODULES.keys()
            # `from learnd import settings` imports learnd.settings; `from learnd import __version__` learnd.
            names |= submodules if submodules == below else {str(node.module)} | submodules
    return names


def test_every_module_has_its_floor() -> None:
    homeless = [module for module in MODULES if _wing(module) is None]
    assert not homeless, f"add to the lists at the top of this file, above all that they import: {homeless}"


def test_every_floor_has_its_one_module() -> None:
    floors = COMMON + CONTROL + LEARNING + FACE + PLUGINS
    assert len(floors) == len(set(floors))
    assert not set(floors) - MODULES.keys(), "these are gone: take them out of the lists"


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_from_the_floors_below_it(module: str) -> None:
    wing = _wing(module)
    if wing is None:
        pytest.skip("it has no floor: another test says so")
    below = BELOW[wing]
    allowed = set(below[: below.index(module)] if module in below else below)
    own = {name for name in _imports(MODULES[module]) if name.split(".")[0] in ("learnd", "learnd_plugins")}
    assert own <= allowed, f"{module} may not import {sorted(own - allowed)}"


@pytest.mark.parametrize("module", [name for name in MODULES if _wing(name) in ("COMMON", "CONTROL", "FACE")])
def test_control_and_face_name_no_heavy_package_even_within_functions(module: str) -> None:
    named = {name.split(".")[0] for name in _imports(MODULES[module])}
    # The examples are images that scikit-learn carries: only the function that writes them loads it.
    exempt = {"sklearn"} if module == "learnd.face.examples" else set()
    assert not named & HEAVY - exempt


def _loaded(code: str) -> set[str]:
    """The modules that a fresh interpreter holds once it has run the code."""
    script = f"{code}\nimport sys\nprint('\\n'.join(sys.modules), file=sys.stderr)"
    command = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


def test_importing_all_of_control_and_face_brings_in_nothing_heavy() -> None:
    light = [name for name in MODULES if _wing(name) in ("COMMON", "CONTROL", "FACE")]
    light.remove("learnd.__main__")  # to import it is to run the command
    loaded = _loaded("\n".join(f"import {name}" for name in light))
    assert loaded >= set(light)
    assert not loaded & set(HEAVY_AT_IMPORT)


def test_learning_and_its_plugins_start_without_torchs_compiler() -> None:
    """Which costs as much again as torch itself; torchvision brings it in."""
    modules = [name for name in MODULES if _wing(name) in ("LEARNING", "PLUGINS") and not name.endswith("__main__")]
    loaded = _loaded("\n".join(f"import {name}" for name in modules))
    assert loaded >= set(modules)
    assert not loaded & {"torchvision", "timm", "torch._dynamo"}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], *([command, "--help"] for command in COMMANDS)])
def test_help_brings_in_nothing_heavy(arguments: list[str]) -> None:
    loaded = _loaded(
        f"import sys\nsys.argv = ['learnd', *{arguments!r}]\nfrom learnd.face.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code"
    )
    assert not loaded & set(HEAVY_AT_IMPORT)


def test_nothing_in_the_packages_is_left_out_of_an_installation() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]
    packages = {name for name, path in MODULES.items() if path.name == "__init__.py"}
    assert packages == set(project["packages"])
    data = {
        path
        for package, patterns in project["package-data"].items()
        for pattern in patterns
        for path in MODULES[package].parent.glob(pattern)
    }
    files = {path for path in ROOTS["learnd"].rglob("*") if path.is_file()}
    source = {path for path in files if path.suffix in (".py", ".pyc")}
    assert files - source - data == set()
