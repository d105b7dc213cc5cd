"""The floors of the house: imports only go down, and some things have one room."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
PACKAGE = TESTS.parent / "celeba_lab"
FILES = sorted(PACKAGE.rglob("*.py"))
FLOORS = [
    {"errors", "files", "console", "config"},
    {"data"},
    {"models", "analyses", "figures"},
    {"runs", "exports"},
    {"engine"},
    {"reports"},
    {"tasks"},
    {"cli", "__main__"},
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
# Rooms of one floor that may import each other, in this direction.
SIDEWAYS = {
    ("config", "errors"),
    ("console", "files"),
    ("files", "errors"),
    ("__main__", "cli"),
    ("figures", "analyses"),
}

each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_modules(tree: ast.AST) -> Iterator[str]:
    """Absolute names of what a file imports, at its top or inside a function; ``from a import b`` gives ``a.b``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


@each_file
def test_imports_only_go_down(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        return
    modules = imported_modules(ast.parse(path.read_text()))
    rooms = {name.split(".")[1] for name in modules if name.startswith("celeba_lab.")} - {room, "__version__"}
    for other in rooms:
        assert FLOOR[other] < FLOOR[room] or (room, other) in SIDEWAYS, f"{room} imports {other}, which is not below it"


def test_every_room_has_a_floor() -> None:
    rooms = {room_of(path) for path in FILES} - {"__init__"}
    assert rooms == set(FLOOR)


def uses(path: Path, name: str) -> bool:
    """Whether the code (not the prose) of a file holds a name such as ``HydraConfig``, ``print`` or ``torch.load``."""
    tree = ast.parse(path.read_text())
    found = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    found |= {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    found |= {module.rpartition(".")[2] for module in imported_modules(tree)}
    return name in found


@pytest.mark.parametrize(
    ("name", "rooms"),
    [
        ("HydraConfig", {"cli", "runs/run.py"}),
        ("print", {"cli"}),
        ("torch.load", {"engine"}),
    ],
)
def test_some_things_have_one_room(name: str, rooms: set[str]) -> None:
    users = {str(path.relative_to(PACKAGE)) for path in FILES if uses(path, name)}
    strangers = {user for user in users if user not in rooms and user.partition("/")[0] not in rooms}
    assert not strangers, f"{name} belongs to {', '.join(sorted(rooms))}"
    assert users, f"nothing uses {name} any more: drop it from this test"


# Tests of the whole project, not of one module.
WHOLE = {"tasks/test_divergence.py"} | {
    f"test_{name}.py" for name in ("architecture", "docstrings", "imports", "package", "readme")
}

each_test_file = pytest.mark.parametrize(
    "path", sorted(TESTS.rglob("test_*.py")), ids=lambda path: str(path.relative_to(TESTS))
)


@each_test_file
def test_a_test_file_has_the_name_of_what_it_tests(path: Path) -> None:
    name = path.relative_to(TESTS)
    if str(name) in WHOLE:
        return
    module = PACKAGE / name.parent / name.stem.removeprefix("test_")
    assert module.is_dir() or module.with_suffix(".py").is_file(), f"tests/{name} tests no module of celeba_lab"


@each_test_file
def test_no_test_file_imports_another(path: Path) -> None:
    modules = {name.partition(".")[0] for name in imported_modules(ast.parse(path.read_text()))}
    assert not {name for name in modules if name in ("tests", "conftest") or name.startswith("test_")}, (
        "share it as a fixture of a conftest.py"
    )
