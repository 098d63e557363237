"""The layers: a module imports only from the layers below its own.  And the rules that keep the tree readable.

Imports that go strictly down can have no cycle.  Modules of one layer may import each other, without a cycle.  The
control plane and the user interface are also imported for real, in a process of their own, to see that nothing heavy
comes in by another way.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from learnd.plugin_files import TEST
from learnd.ui.cli import COMMANDS
from tests.patience import PATIENCE

# Each list from the lowest layer up.  An entry is a package, or a module that lies beside packages.  A new package gets
# its line here.
SHARED = [
    "learnd",  # the version
    "learnd.errors",
    "learnd.identity",
    "learnd.metrics",
    "learnd.plugin_files",
    "learnd.suggest",
    "learnd.messages",  # what crosses from process to process
    "learnd.settings",  # config.yaml
]
CONTROL = [
    "learnd.control",
    "learnd.control.files",
    "learnd.control.processes",
    "learnd.control.journal",  # what must be done and what was done
    "learnd.control.knowledge",  # versions, and the gates before them
    "learnd.control.dispatch",  # jobs -> workers -> results
    "learnd.control.intake",  # folders -> tasks
    "learnd.control.service",  # the daemon
]
LEARNING = [
    "learnd.learning",
    "learnd.learning.plugin_faults",
    "learnd.learning.networks",  # files -> tensors -> features
    "learnd.learning.contract",  # what a plugin is
    "learnd.learning.written_passes",  # conv4, faster on a CPU
    "learnd.learning.methods",  # what plugins are built from
    "learnd.learning.plugin_host",  # which plugins there are
    "learnd.learning.knowledge",  # what is remembered
    "learnd.learning.metatraining",  # over many tasks
    "learnd.learning.jobs",  # learn, predict, survey, consolidate
    "learnd.learning.processes",  # started by name
    "learnd.learning.conformance",  # is a plugin true to the contract?
]
UI = [
    "learnd.ui",
    "learnd.ui.views",  # data -> text, HTML, pictures
    "learnd.ui.one_shot_worker",
    "learnd.ui.conformance_kit",
    "learnd.ui.recipe_options",
    "learnd.ui.options",
    "learnd.ui.examples",
    "learnd.ui.dashboard",
    "learnd.ui.doctor",
    "learnd.ui.commands",
    "learnd.ui.commands.daemon",
    "learnd.ui.commands.tasks",
    "learnd.ui.commands.knowledge",
    "learnd.ui.commands.plugins",
    "learnd.ui.cli",
    "learnd.__main__",
]
AUTHORS = ["learnd.plugin"]  # all that a plugin imports
PLUGINS = ["learnd_plugins"]  # one file an algorithm; nobody imports them

PLANES = {
    "SHARED": SHARED,
    "CONTROL": CONTROL,
    "LEARNING": LEARNING,
    "UI": UI,
    "AUTHORS": AUTHORS,
    "PLUGINS": PLUGINS,
}
# What the layers of a plane stand on.  Control and learning meet in JSON and files only.
BELOW = {
    "SHARED": SHARED,
    "CONTROL": SHARED + CONTROL,
    "LEARNING": SHARED + LEARNING,
    "UI": SHARED + CONTROL + UI,
    "AUTHORS": SHARED + LEARNING + AUTHORS,
    "PLUGINS": AUTHORS + PLUGINS,
}
LAYERS = [layer for layers in PLANES.values() for layer in layers]
LIGHT = ("SHARED", "CONTROL", "UI")
HEAVY = {"torch", "torchvision", "timm", "numpy", "sklearn", "learnd_plugins"}
HEAVY_AT_IMPORT = [*sorted(HEAVY), "learnd.learning"]
MOST_MODULES = 20  # of a package
MOST_PARAMETERS = 6  # of a function, self aside

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


def _layer(module: str) -> str | None:
    """The layer of a module: its own line, or that of its package; None if no list names either."""
    if module in LAYERS:
        return module
    package = module.rpartition(".")[0]
    return package if package in LAYERS and package != "learnd" else None


def _plane(module: str) -> str | None:
    layer = _layer(module)
    return next((plane for plane, layers in PLANES.items() if layer in layers), None)


def _imports(source: str, where: str) -> set[str]:
    """The full name of everything imported in the source, also within functions and under TYPE_CHECKING."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{where}:{node.lineno}: write the whole name, not a relative one"
            below = {f"{node.module}.{alias.name}" for alias in node.names}
            submodules = below & MODULES.keys()
            # `from learnd.settings import keys` imports learnd.settings.keys; `from learnd import __version__` learnd.
            names |= submodules if submodules == below else {str(node.module)} | submodules
    return names


def _own(module: str) -> set[str]:
    """The modules of ours that a module imports."""
    names = _imports(MODULES[module].read_text(), module)
    return {name for name in names if name.split(".")[0] in ("learnd", "learnd_plugins")}


def test_every_module_has_its_layer() -> None:
    homeless = [module for module in MODULES if _layer(module) is None]
    assert not homeless, f"add their package to the lists at the top of this file, above all it imports: {homeless}"


def test_every_layer_is_there_once() -> None:
    assert len(LAYERS) == len(set(LAYERS))
    assert not set(LAYERS) - MODULES.keys(), "these are gone: take them out of the lists"


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_from_the_layers_below_it(module: str) -> None:
    layer, plane = _layer(module), _plane(module)
    if layer is None or plane is None:
        pytest.skip("it has no layer: another test says so")
    below = BELOW[plane]
    allowed = {*below[: below.index(layer) + 1]}
    above = {name for name in _own(module) if _layer(name) not in allowed}
    assert not above, f"{module} may not import {sorted(above)}"


@pytest.mark.parametrize("layer", LAYERS)
def test_the_modules_of_a_layer_import_each_other_without_a_cycle(layer: str) -> None:
    members = {module for module in MODULES if _layer(module) == layer}
    graph = {module: (_own(module) & members) - {module} for module in members}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as cycle:
        pytest.fail(f"these import each other in a circle: {' -> '.join(cycle.args[1])}")


def _module_count(package: Path) -> int:
    return len([path for path in package.glob("*.py") if path.name != "__init__.py"])


@pytest.mark.parametrize("package", [path.parent for path in ROOTS["learnd"].rglob("__init__.py")], ids=str)
def test_a_package_is_small_enough_to_be_read_at_a_glance(package: Path) -> None:
    assert _module_count(package) <= MOST_MODULES, "divide it by subject"


def _defined_twice(sources: dict[str, str]) -> dict[str, list[str]]:
    """Classes, constants and aliases that more than one module defines; type variables and private names aside."""
    where: defaultdict[str, list[str]] = defaultdict(list)
    for module, source in sources.items():
        for name in set(_definitions(ast.parse(source))):
            where[name].append(module)
    return {name: modules for name, modules in where.items() if len(modules) > 1 and not name.startswith("_")}


def _definitions(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            made = node.value.func if isinstance(node.value, ast.Call) else None
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if not (isinstance(made, ast.Name) and made.id == "TypeVar"):
                yield from (target.id for target in targets if isinstance(target, ast.Name))


def test_a_name_means_one_thing() -> None:
    sources = {module: path.read_text() for module, path in MODULES.items()}
    sources |= {str(path): path.read_text() for path in (REPOSITORY / "benchmarks").rglob("*.py")}
    twice = _defined_twice(sources)
    assert not twice, f"rename all but one of each, or let one piece serve all: {twice}"


def _too_many_parameters(source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            every = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
            if len([one for one in every if one.arg not in ("self", "cls")]) > MOST_PARAMETERS:
                found.append(f"{node.name} (line {node.lineno})")
    return found


@pytest.mark.parametrize("module", MODULES)
def test_no_function_takes_more_than_six_parameters(module: str) -> None:
    found = _too_many_parameters(MODULES[module].read_text())
    assert not found, f"{module}: group what belongs together in {found}"


def _what_authors_copy() -> dict[str, str]:
    """Built-in plugins, starters, the example plugin, and the Python of the docs and the README."""
    found = {name: path.read_text() for name, path in MODULES.items() if name.startswith("learnd_plugins.")}
    files = [*(ROOTS["learnd"] / "starters").iterdir(), *(REPOSITORY / "docs" / "example-plugin").rglob("*.py")]
    found |= {str(path.relative_to(REPOSITORY)): path.read_text() for path in files}
    pages = [REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md"), *(REPOSITORY / "plugins").glob("*.md")]
    for page in pages:
        for number, block in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL), 1):
            found[f"{page.name}, block {number}"] = block
    return found


WHAT_AUTHORS_COPY = _what_authors_copy()


def _not_for_authors(source: str, where: str) -> list[str]:
    names = {name for name in _imports(source, where) if name.split(".")[0] == "learnd"}
    return sorted(names - {"learnd.plugin"})


@pytest.mark.parametrize("where", WHAT_AUTHORS_COPY)
def test_authors_import_from_learnd_plugin_alone(where: str) -> None:
    found = _not_for_authors(WHAT_AUTHORS_COPY[where], where)
    assert not found, f"{where} imports from {found}: re-export it in learnd/plugin.py"


def test_learnd_plugin_re_exports_and_does_nothing_else() -> None:
    tree = ast.parse(MODULES["learnd.plugin"].read_text())
    assert {type(node) for node in tree.body} == {ast.Expr, ast.ImportFrom, ast.Assign}  # docstring, imports, __all__


# Each rule finds a fault that is planted for it.


def test_a_planted_second_class_of_one_name_is_found() -> None:
    assert _defined_twice({"a": "class Page: ...", "b": "Page = int", "c": "X = 1"}) == {"Page": ["a", "b"]}


def test_a_planted_seventh_parameter_is_found() -> None:
    assert _too_many_parameters("def f(self, a, b, c, d, e, /, f, *, g): ...") == ["f (line 1)"]
    assert _too_many_parameters("def f(self, a, b, c, d, e, f): ...") == []


def test_a_planted_import_is_found_wherever_it_stands() -> None:
    source = "def f():\n    from learnd.learning.networks import zoo\n    import learnd.errors"
    assert _imports(source, "here") == {"learnd.learning.networks.zoo", "learnd.errors"}
    assert _not_for_authors(source + "\nfrom learnd.plugin import Bid", "here") == [
        "learnd.errors",
        "learnd.learning.networks.zoo",
    ]


def test_a_planted_twenty_first_module_is_counted(tmp_path: Path) -> None:
    for number in range(MOST_MODULES + 1):
        (tmp_path / f"module{number}.py").touch()
    (tmp_path / "__init__.py").touch()
    assert _module_count(tmp_path) > MOST_MODULES


@pytest.mark.parametrize("module", [name for name in MODULES if _plane(name) in LIGHT])
def test_control_and_ui_name_no_heavy_package_even_within_functions(module: str) -> None:
    named = {name.split(".")[0] for name in _imports(MODULES[module].read_text(), module)}
    # The examples are images that scikit-learn carries: only the function that writes them loads it.
    exempt = {"sklearn"} if module == "learnd.ui.examples.bundled" else set()
    assert not named & HEAVY - exempt


def _loaded(code: str) -> set[str]:
    """The modules that a fresh interpreter holds once it has run the code."""
    script = f"{code}\nimport sys\nprint('\\n'.join(sys.modules), file=sys.stderr)"
    command = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


def test_importing_all_of_control_and_ui_brings_in_nothing_heavy() -> None:
    light = [name for name in MODULES if _plane(name) in LIGHT]
    light.remove("learnd.__main__")  # to import it is to run the command
    loaded = _loaded("\n".join(f"import {name}" for name in light))
    assert loaded >= set(light)
    assert not loaded & set(HEAVY_AT_IMPORT)


def test_learning_and_its_plugins_start_without_torchs_compiler() -> None:
    """Which costs as much again as torch itself; torchvision brings it in."""
    modules = [name for name in MODULES if _plane(name) in ("LEARNING", "PLUGINS") and not name.endswith("__main__")]
    loaded = _loaded("\n".join(f"import {name}" for name in modules))
    assert loaded >= set(modules)
    assert not loaded & {"torchvision", "timm", "torch._dynamo"}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], *([command, "--help"] for command in COMMANDS)])
def test_help_brings_in_nothing_heavy(arguments: list[str]) -> None:
    loaded = _loaded(
        f"import sys\nsys.argv = ['learnd', *{arguments!r}]\nfrom learnd.ui.cli import main\n"
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


def test_the_written_passes_have_one_door() -> None:
    """So that they can be deleted, as their README says."""
    package = "learnd.learning.written_passes"
    users = {
        (module, name)
        for module, path in MODULES.items()
        if not module.startswith(package)
        for name in _imports(path.read_text(), module)
        if name.startswith(package)
    }
    assert users == {("learnd.learning.methods.task_network", f"{package}.network")}
