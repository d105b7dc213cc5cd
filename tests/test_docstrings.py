"""References in docstrings can be resolved, so that Sphinx can link them."""

import importlib
import re
from pathlib import Path
from types import ModuleType

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "celeba_lab"
FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if path.name != "__main__.py"]
FOLDERS = sorted({str(path.relative_to(PACKAGE).parent) for path in FILES})
ROLE = re.compile(r":(?:func|class|meth|mod|data|attr|exc):`([^`]+)`")


def module_of(path: Path) -> ModuleType:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return importlib.import_module(".".join(part for part in parts if part != "__init__"))


def is_absolute_name(name: str) -> bool:
    """Return whether a dotted name is a module or an attribute of one."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:length]))
        except ImportError:
            continue
        for part in parts[length:]:
            found = getattr(found, part, None)
        return found is not None
    return False


def is_defined_in(module: ModuleType, name: str) -> bool:
    """Return whether a module, or one of its classes, defines a name. Imported names do not count."""
    own = [value for value in vars(module).values() if getattr(value, "__module__", None) == module.__name__]
    head, _, member = name.partition(".")
    if member or head in vars(module):
        found = vars(module).get(head)
        is_own = getattr(found, "__module__", module.__name__) == module.__name__
        return is_own and (not member or hasattr(found, member))
    return any(isinstance(value, type) and hasattr(value, head) for value in own)


@pytest.mark.parametrize("folder", FOLDERS)
def test_references_in_docstrings_exist(folder: str) -> None:
    for path in (path for path in FILES if path.parent == PACKAGE / folder):
        for target in ROLE.findall(path.read_text()):
            name = target.lstrip("~")
            if name.startswith("celeba_lab."):
                assert is_absolute_name(name), f"{name}, which {path} names, does not exist"
            else:
                assert is_defined_in(module_of(path), name), f"{name} is not defined in {path}, so write its full path"
