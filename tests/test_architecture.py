"""Packages form layers, modules import only from lower layers, and some names are restricted to certain packages."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
PACKAGE = TESTS.parent / "celeba_lab"
FILES = sorted(PACKAGE.rglob("*.py"))
LAYERS = [
    {"errors", "console", "files", "config"},
    {"data"},
    {"models", "analyses", "figures"},
    {"runs", "exports"},
    {"engine"},
    {"reports"},
    {"benchmarks"},
    {"tasks"},
    {"cli", "__main__"},
]
LAYER = {package: layer for layer, packages in enumerate(LAYERS) for package in packages}
# Pairs of packages in the same layer of which the first may import the second.
SIDEWAYS = {
    ("config", "errors"),
    ("console", "errors"),
    ("files", "console"),
    ("files", "errors"),
    ("__main__", "cli"),
    ("figures", "analyses"),
}

# Limits in lines. They are also stated in CONTRIBUTING.md.
LONGEST_TASK, LONGEST_FILE, LONGEST_FUNCTION = 100, 450, 60


def package_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE.parent))


# A test for each file would take longer to report than to run.
each_package = pytest.mark.parametrize("package", sorted({package_of(path) for path in FILES} - {"__init__"}))


def files_of(package: str) -> list[Path]:
    return [path for path in FILES if package_of(path) == package]


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imported_modules(tree: ast.AST) -> Iterator[str]:
    """Yield the absolute names of all imports, including those in functions. ``from a import b`` gives ``a.b``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports must be absolute"
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def imported_packages(path: Path) -> set[str]:
    """Return the other packages of celeba_lab that a file imports."""
    modules = imported_modules(tree_of(path))
    imported = {name.split(".")[1] for name in modules if name.startswith("celeba_lab.")}
    return imported - {package_of(path), "__version__"}


@each_package
def test_modules_import_only_from_lower_layers(package: str) -> None:
    for path in files_of(package):
        for other in imported_packages(path):
            assert LAYER[other] < LAYER[package] or (package, other) in SIDEWAYS, (
                f"{name_of(path)} imports {other}, which is not in a lower layer"
            )


def test_the_permitted_imports_within_a_layer_are_those_that_exist() -> None:
    found = {(package_of(path), other) for path in FILES for other in imported_packages(path)}
    assert {(one, other) for one, other in found if LAYER.get(one) == LAYER[other]} == SIDEWAYS


def imported_with(tree: ast.Module, own: str, modules: set[str]) -> set[str]:
    """Return the modules that Python imports together with a module, including the packages that contain them."""
    statements = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    named = set(imported_modules(ast.Module(body=[*statements], type_ignores=[])))
    parts = [name.split(".") for name in named]
    found = {".".join(part[:length]) for part in parts for length in range(1, len(part) + 1)} & modules
    # The packages that contain the module itself are imported before it.
    return {name for name in found if not f"{own}.".startswith(f"{name}.")}


def find_cycle(sources: dict[str, str]) -> list[str]:
    """Return modules that import each other when they are loaded, or an empty list."""
    graph = {name: imported_with(ast.parse(text), name, set(sources)) for name, text in sources.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_any_module_can_be_imported_first() -> None:
    """With a cycle, it depends on the order of the imports whether they succeed."""
    names = {path: ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in FILES}
    cycle = find_cycle({name.removesuffix(".__init__"): path.read_text() for path, name in names.items()})
    assert not cycle, f"these modules import each other: {', '.join(cycle)}"


def test_a_cycle_through_a_package_is_found() -> None:
    sources = {"a": "", "a.b": "from a.b.c import C", "a.b.c": "from a.d import D", "a.d": "from a.b.e import E"}
    assert set(find_cycle(sources | {"a.b.e": ""})) == {"a.b", "a.b.c", "a.d"}
    assert find_cycle(sources | {"a.d": "", "a.b.e": ""}) == []


# Names and choices of settings. The data package may name those of its own group.
SETTING = r"(?<![\w.])(task|experiment|recipe|trainer|callbacks|logger|model|loss|data)(=|\.[a-z_])"


def messages_of(path: Path) -> list[str]:
    """Return all strings in a file except docstrings."""
    tree = tree_of(path)
    docstrings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    strings = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and node not in docstrings]
    return [node.value for node in strings if isinstance(node.value, str)]


@each_package
def test_messages_below_the_engine_do_not_name_settings_of_other_packages(package: str) -> None:
    if LAYER[package] >= LAYER["engine"] or package == "config":
        return
    named = {
        f"{name_of(path)}: {found[0]}"
        for path in files_of(package)
        for text in messages_of(path)
        for found in re.finditer(SETTING, text)
        if " " in text and found[1] != package
    }
    assert not named, "raise a SettingError with the name of the argument, so that the caller adds the path"


@each_package
def test_messages_below_the_tasks_do_not_name_settings_of_tasks_or_callbacks(package: str) -> None:
    """The table of renamed settings is in ``config``. ``benchmarks`` composes the commands that it measures."""
    if LAYER[package] >= LAYER["tasks"] or package in ("config", "benchmarks"):
        return
    named = [
        f"{name_of(path)}: {text}"
        for path in files_of(package)
        for text in messages_of(path)
        if re.search(r"(?<![\w.])(task|callbacks)(=|\.[a-z_])", text)
    ]
    assert not named, "raise a SettingError with the name of the argument, so that the caller adds the path"


def test_every_package_belongs_to_a_layer() -> None:
    packages = {package_of(path) for path in FILES} - {"__init__"}
    assert packages == set(LAYER)


@cache
def names_in(path: Path) -> set[str]:
    """Return the names that a file's code uses, such as ``HydraConfig``, ``print`` or ``torch.load``."""
    tree = tree_of(path)
    found = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    found |= {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for module in imported_modules(tree):  # from torch import load counts as a use of load and of torch.load
        found |= {module, module.rpartition(".")[2]}
    return found


def test_a_name_imported_from_its_module_is_found(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text("from torch import load as read\n")
    assert "torch.load" in names_in(path)


@pytest.mark.parametrize(
    ("name", "packages"),
    [
        ("HydraConfig", {"cli", "runs/run.py"}),
        ("print", {"cli"}),
        ("torch.load", {"engine"}),
    ],
)
def test_restricted_names_are_used_only_in_their_packages(name: str, packages: set[str]) -> None:
    users = {str(path.relative_to(PACKAGE)) for path in FILES if name in names_in(path)}
    others = {user for user in users if user not in packages and user.partition("/")[0] not in packages}
    assert not others, f"only {', '.join(sorted(packages))} may use {name}, but {', '.join(sorted(others))} do as well"
    assert users, f"{name} is no longer used, so remove it from this test"


@each_package
def test_files_and_functions_can_be_read_in_one_pass(package: str) -> None:
    for path in files_of(package):
        lines = len(path.read_text().splitlines())
        assert lines <= (LONGEST_TASK if package == "tasks" else LONGEST_FILE), f"{name_of(path)} has {lines} lines"
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                length = node.end_lineno - node.lineno + 1
                assert length <= LONGEST_FUNCTION, f"{node.name} in {name_of(path)} has {length} lines"


# These files test the whole project instead of a single module.
WHOLE = {"tasks/test_divergence.py", "cli/test_launchers.py", "engine/test_synchronization.py"} | {
    f"test_{name}.py" for name in ("architecture", "docstrings", "imports", "package", "readme", "settings")
}

TEST_FILES = sorted(TESTS.rglob("test_*.py"))


def test_every_test_file_is_named_after_the_module_that_it_tests() -> None:
    for path in TEST_FILES:
        name = path.relative_to(TESTS)
        if str(name) in WHOLE or name.parts[0] in ("reliability", "fuzz"):  # They test whole kinds of inputs.
            continue
        module = PACKAGE / name.parent / name.stem.removeprefix("test_")
        assert module.is_dir() or module.with_suffix(".py").is_file(), (
            f"there is no module in celeba_lab that corresponds to tests/{name}"
        )


def test_test_files_do_not_import_each_other() -> None:
    for path in TEST_FILES:
        modules = {name.partition(".")[0] for name in imported_modules(ast.parse(path.read_text()))}
        assert not {name for name in modules if name in ("tests", "conftest") or name.startswith("test_")}, (
            f"move the shared code of {path.name} to a fixture in conftest.py"
        )
