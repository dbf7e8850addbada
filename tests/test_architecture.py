"""The rules of the house, which no single module can break unnoticed."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from functools import cache
from importlib.metadata import packages_distributions, version
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement

_ROOT = Path(__file__).parents[1]
_MOST_LINES = 400  # a module is one noun, seldom over 300 lines
_MOST_LINES_OF_A_FUNCTION = 60
_MOST_ENTRIES = 15  # modules in a folder, and folders in it; of the page, both together
_FLOORS = (
    {"app.cli"},
    {"app.commands"},
    {"app.main", "app.server", "app.supervisor"},
    {"app.api", "app.bulk", "app.local"},
    {"app.http"},
    {"app.scoring"},
    {"app.metrics"},
    {"app.inference"},
    {"app.imaging"},
    {"app.auth", "app.client", "app.picking", "app.policies"},
    {"app.schemas", "app.settings"},
    {
        *("app.cost", "app.cpu", "app.errors", "app.fetching", "app.logs", "app.memory", "app.printable"),
        *("app.processes", "app.text_file", "app.tracing", "app.version"),
    },
    {"models"},
)
"""From the top of the house. Nothing imports what is above it."""
_WEB = _ROOT / "app" / "web"
_FLOORS_OF_THE_PAGE = (
    {"."},
    {"compare", "report", "rules", "set"},
    {"photographs"},
    {"service"},
    {"display"},
)
"""The same for the page, by the folders of ``app/web``."""
_DEVICE_NAMES = {"device", "cuda", "mps", "xpu", "accelerator"}
_DEVICE_METHODS = {"cuda", "to_device", "pin_memory"}


_COME_WITH_OTHERS = {"starlette"}  # fastapi says itself which one it needs


def _normal(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _modules(package: str) -> list[str]:
    return sorted(path.relative_to(_ROOT).as_posix() for path in (_ROOT / package).rglob("*.py"))


_SERVICE = _modules("app")
_SCIENCE = _modules("models")
_OTHERS = _modules("docker") + _modules("tests")
_SCRIPTS = sorted(path.relative_to(_WEB).as_posix() for path in _WEB.rglob("*.js"))
_SCRIPT_NAME = re.compile(r"""["'`]([^"'`\s]+\.js)["'`]""")  # of an import, a type's import or a worker


def _those(modules: list[str], fault: Callable[[str], object]) -> dict[str, object]:
    """The modules with a fault, and the fault."""
    return {module: found for module in modules if (found := fault(module))}


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse((_ROOT / module).read_text(encoding="utf-8"), module)


@cache
def _imports(module: str) -> frozenset[str]:
    """Full names of what a module imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are absolute"
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(names)


def _packages(module: str) -> set[str]:
    return {name.partition(".")[0] for name in _imports(module)}


def _device_uses(tree: ast.AST) -> list[int]:
    """Lines that name a device of torch, or move something to one."""
    lines = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        of_torch = isinstance(node.value, ast.Name) and node.value.id == "torch"
        if (of_torch and node.attr in _DEVICE_NAMES) or (not of_torch and node.attr in _DEVICE_METHODS):
            lines.append(node.lineno)
    return lines


def _unpicklings(tree: ast.AST) -> list[int]:
    """Lines that load a pickle which could run code."""
    lines = []
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        owner = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
        safe = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}.get("weights_only")
        restricted = owner == "torch" and safe == "True"
        if owner in {"torch", "pickle"} and node.func.attr in {"load", "loads"} and not restricted:
            lines.append(node.lineno)
    return lines


def test_the_science_does_not_know_the_service() -> None:
    service = {"app", "fastapi", "starlette", "uvicorn", "zmq", "typer", "pydantic_settings"}
    assert _those(_SCIENCE, lambda module: _packages(module) & service) == {}


def _floor(module: str) -> int:
    """Counted from the top; of what is on none, the ground's."""
    floors = [
        number for number, those in enumerate(_FLOORS) for one in those if f"{module}.".startswith(f"{one}.")
    ]
    assert floors, f"{module} is on no floor; give it one in {Path(__file__).name}."
    return floors[0]


def _dotted(module: str) -> str:
    return module.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


_NAMES = {_dotted(module) for module in _SERVICE + _SCIENCE}


def _ours(module: str) -> set[str]:
    """The modules and packages of ours that a module imports, wherever in it."""
    found = {name if name in _NAMES else name.rpartition(".")[0] for name in _imports(module)}
    return {name for name in found if name in _NAMES} - {_dotted(module)}


def _circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Those that lead back to themselves."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        line = [start]
        while line:
            new = arrows.get(line.pop(), set()) - seen
            seen |= new
            line += new
        return seen

    rings = {tuple(sorted(x for x in reached(name) if name in reached(x))) for name in arrows}
    return sorted(ring for ring in rings if ring)


def test_nothing_imports_upward() -> None:
    assert (
        _those(
            _SERVICE,
            lambda module: (
                {name for name in _ours(module) if name != "app" and _floor(name) < _floor(_dotted(module))}
                if _dotted(module) != "app"
                else set()
            ),
        )
        == {}
    )


@pytest.mark.parametrize("depth", [2, 3, 9])
def test_nothing_imports_in_a_circle(depth: int) -> None:
    # Of depth 2, packages like app.api and models.bpclip; of 9, modules.
    def whole(name: str) -> str:
        return ".".join(name.split(".")[:depth])

    arrows: dict[str, set[str]] = {}
    for module in _SERVICE + _SCIENCE:
        here = whole(_dotted(module))
        arrows.setdefault(here, set()).update({whole(name) for name in _ours(module)} - {here})
    assert _circles(arrows) == []


_SAME_NAMES = {
    "main": "what a program calls, as python -m starts it",
    "router": "what a module of routes has, as FastAPI's documentation names it",
    "ACCESS": "what a module of routes says of itself",
}
"""Names that several modules define at the top, each with the reason."""


def test_a_name_means_one_thing() -> None:
    where: dict[str, list[str]] = {}
    for module in _SERVICE + _SCIENCE:
        for node in _tree(module).body:
            names = [getattr(node, "name", "")]
            if isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names = [target.id for target in targets if isinstance(target, ast.Name)]
            for name in names:
                where.setdefault(name, []).append(module)
    doubled = {name: those for name, those in where.items() if len(those) > 1 and name and name[0] != "_"}
    assert {name: those for name, those in doubled.items() if name not in _SAME_NAMES} == {}
    assert set(_SAME_NAMES) <= set(doubled)


def _scripts_named_in(script: str) -> set[str]:
    """The scripts that one imports, or starts as a worker."""
    text = (_WEB / script).read_text(encoding="utf-8")
    folder = (_WEB / script).parent
    found = ((folder / name).resolve() for name in _SCRIPT_NAME.findall(text))
    return {path.relative_to(_WEB).as_posix() for path in found}


def test_scripts_of_the_page_import_neither_upward_nor_in_a_circle() -> None:
    floors = {folder: number for number, those in enumerate(_FLOORS_OF_THE_PAGE) for folder in those}
    arrows = {script: _scripts_named_in(script) for script in _SCRIPTS}
    assert set().union(*arrows.values()) == set(_SCRIPTS) - {"app.js"}  # each is there, and is used
    folders = {script: str(Path(script).parent) for script in _SCRIPTS}
    upward = {
        script: those
        for script, named in arrows.items()
        if (those := {other for other in named if floors[folders[other]] < floors[folders[script]]})
    }
    assert upward == {}
    assert _circles(arrows) == []
    between: dict[str, set[str]] = {}
    for script, named in arrows.items():
        here = folders[script]
        between.setdefault(here, set()).update({folders[other] for other in named} - {here})
    assert _circles(between) == []


_FULL_FOLDERS = {
    "tests/app": "the mirror of app, and what the tests of a running service share",
    "tests/benchmarks": "programs that documents call by their names",
}
"""Folders that hold more than others may, each with the reason."""


def test_no_folder_holds_more_than_one_can_see() -> None:
    folders = {(_ROOT / module).parent for module in _SERVICE + _SCIENCE + _OTHERS}
    full = {}
    for folder in folders:
        modules = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        packages = [path for path in folder.iterdir() if any(path.glob("*.py"))]
        if max(len(modules), len(packages)) > _MOST_ENTRIES:
            full[folder.relative_to(_ROOT).as_posix()] = (len(modules), len(packages))
    for folder in {_WEB, *(path.parent for path in _WEB.rglob("*"))}:
        if (entries := len(list(folder.iterdir()))) > _MOST_ENTRIES:
            full[folder.relative_to(_ROOT).as_posix()] = (entries, 0)
    assert full.keys() == _FULL_FOLDERS.keys(), full


def test_nothing_imports_what_only_tests_have() -> None:
    for_tests = {"tests", "pytest", "hypothesis", "skimage"}
    assert _those(_SERVICE + _SCIENCE, lambda module: _packages(module) & for_tests) == {}


def _requirements() -> list[Requirement]:
    """What pyproject.toml asks for, with the extras."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    return [Requirement(line) for line in lines]


def test_every_library_that_is_imported_is_declared() -> None:
    declared = {_normal(requirement.name) for requirement in _requirements()}
    providers = packages_distributions()
    ours = {"app", "models", *sys.stdlib_module_names, *_COME_WITH_OTHERS}

    def undeclared(module: str) -> set[str]:
        imported = _packages(module) - ours
        return {
            name for name in imported if not declared & {_normal(by) for by in providers.get(name, [name])}
        }

    assert _those(_SERVICE + _SCIENCE, undeclared) == {}


def test_uvicorn_is_one_whose_private_classes_are_known() -> None:
    (asked,) = (requirement for requirement in _requirements() if requirement.name == "uvicorn")
    assert {bound.operator for bound in asked.specifier} == {">=", "<"}
    installed = version("uvicorn")
    assert installed in asked.specifier, (
        f"uvicorn {installed} is installed, and app/http/connections.py is tested with {asked.specifier}. "
        "Install that, or change pyproject.toml's bounds once tests/app/http and tests/app/chaos pass."
    )


@pytest.mark.process
def test_scheduling_is_pure() -> None:
    impure = {"torch", "numpy", "fastapi", "starlette", "zmq", "asyncio", "models"}
    command = "import sys, app.inference.scheduling; print(*sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, check=True, cwd=_ROOT, timeout=60
    )
    assert impure & set(found.stdout.split()) == set()
    timed = {"time", "datetime", "threading", "asyncio"}
    assert (
        _packages("app/inference/scheduling.py") | _packages("app/inference/batching.py")
    ) & timed == set()


def test_only_runtimes_touch_a_device() -> None:
    users = _those(_SERVICE, lambda module: _device_uses(_tree(module)))
    assert users == {}, users


def _aliases(module: str) -> set[str]:
    """Names of two numbers, ``tuple[int, int]``, at the top of a module."""
    return {
        target.id
        for node in _tree(module).body
        if isinstance(node, ast.Assign) and ast.unparse(node.value) == "tuple[int, int]"
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def test_width_and_height_have_one_order_under_one_name() -> None:
    # Once, Size was (width, height) here and (height, width) there, and mypy saw no difference.
    assert _those(_SERVICE + _SCIENCE, _aliases) == {
        "app/imaging/decode.py": {"Size"},
        "models/ragged.py": {"Shape"},
    }


def test_no_module_is_too_long_to_be_held_in_the_head() -> None:
    def length(module: str) -> int:
        return len((_ROOT / module).read_text(encoding="utf-8").splitlines())

    assert _those(_SERVICE + _SCIENCE, lambda module: max(0, length(module) - _MOST_LINES)) == {}


def test_functions_are_short() -> None:
    def lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
        return (function.end_lineno or 0) - function.lineno + 1

    def long(module: str) -> list[str]:
        nodes = ast.walk(_tree(module))
        functions = (node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
        return [each.name for each in functions if lines(each) > _MOST_LINES_OF_A_FUNCTION]

    assert _those(_SERVICE + _SCIENCE, long) == {}


def test_each_module_says_what_it_is() -> None:
    # An empty __init__.py is only a place.
    trees = {module: _tree(module) for module in _SERVICE + _SCIENCE}
    assert [module for module, tree in trees.items() if tree.body and not ast.get_docstring(tree)] == []


def test_no_pickle_is_opened_but_by_the_restricted_unpickler() -> None:
    assert _those(_SERVICE + _SCIENCE, lambda module: _unpicklings(_tree(module))) == {}
