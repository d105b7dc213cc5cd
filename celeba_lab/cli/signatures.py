"""Read signatures from source code, so that settings can be checked before any slow imports.

Importing torch and Lightning takes several seconds, and a user who has mistyped a setting should not have to wait that
long. The arguments of a ``_target_``, with their type hints and defaults, are therefore read from the syntax tree of
the source file. If a type hint cannot be resolved without running code, the value is checked after the import instead.
"""

import ast
import builtins
import importlib
import importlib.util
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from celeba_lab.config import Signature, import_signature

# Modules that may be imported to resolve type hints, because importing them is fast.
_QUICK = ("builtins", "collections.abc", "datetime", "os", "pathlib", "typing", "typing_extensions")
# A class derived from one of these classes may accept a plain value.
_LIKE_PLAIN_VALUES = ("str", "int", "float", "dict", "list", "tuple", "Protocol", "Enum", "StrEnum", "TypedDict")


class UnknownError(Exception):
    """Raised if the meaning of a name cannot be determined from the source code."""


@dataclass(frozen=True)
class Module:
    """The top level of a source file, with its definitions, imports and assignments by name."""

    name: str
    path: Path
    bound: dict[str, ast.AST] = field(repr=False)


def read_signature(target: str) -> Signature | None:
    """Return the signature of the class or function at a dotted path, or None if the source does not define it."""
    module_name, _, name = target.rpartition(".")
    try:
        return _signature_of(*find_name(module_name, name))
    except UnknownError:
        return None


def complete_signature(target: str) -> Signature:
    """Return a target's signature from its source code, or import the target if a type hint cannot be resolved.

    Raises:
        ImportError: The target cannot be imported.
    """
    signature = read_signature(target)
    return signature if signature is not None and signature.is_complete else import_signature(target)


@cache
def _source_of(name: str) -> Path:
    """Return the source file of a module without importing the package that contains the module."""
    package, _, last = name.rpartition(".")
    if package:
        folder = _source_of(package).parent
        found = [path for path in (folder / f"{last}.py", folder / last / "__init__.py") if path.is_file()]
        if _source_of(package).name == "__init__.py" and found:
            return found[0]
        raise UnknownError(name)
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise UnknownError(name)
    return Path(spec.origin)


@cache
def _read(name: str) -> Module:
    path = _source_of(name)
    bound: dict[str, ast.AST] = {}
    _bind(ast.parse(path.read_text(encoding="utf-8")).body, bound)
    return Module(name, path, bound)


def _bind(body: list[ast.stmt], bound: dict[str, ast.AST]) -> None:
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            bound[node.name] = node
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                bound[alias.asname or alias.name] = node
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            bound[node.targets[0].id] = node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            bound[node.target.id] = node.value
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):  # such as LOSSES["mine"] = f
            bound.pop(ast.unparse(node.targets[0].value), None)  # The definition no longer shows the whole value.
        elif isinstance(node, ast.If | ast.Try):  # Conditional blocks such as "if TYPE_CHECKING" may contain imports.
            _bind(node.body, bound)


def find_name(module_name: str, name: str) -> tuple[Module, ast.AST]:
    """Return the definition of a name and the module that contains the definition, following imports.

    Raises:
        UnknownError: The source does not define the name.
    """
    module = _read(module_name)
    node = module.bound.get(name)
    if node is None:
        raise UnknownError(f"{module_name}.{name}")
    if not isinstance(node, ast.ImportFrom):
        return module, node
    original = next(alias.name for alias in node.names if name in (alias.asname, alias.name))
    return find_name(_absolute(module, node), original)


def ancestors_of(target: str) -> set[str]:
    """Return the dotted paths of a class and of all its base classes, as far as the source code shows them.

    A base class is followed through the imports of celeba_lab, but not into the libraries.
    """
    module_name, _, name = target.rpartition(".")
    try:
        module, node = find_name(module_name, name)
    except UnknownError:
        return {target}
    if not isinstance(node, ast.ClassDef):
        return set()
    found = {f"{module.name}.{node.name}"}
    for base in node.bases:
        if isinstance(base, ast.Name):
            found |= ancestors_of(f"{module.name}.{base.id}")
    return found


def _absolute(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return str(node.module)
    parts = module.name.split(".")
    above = parts if module.path.name == "__init__.py" else parts[:-1]
    above = above[: len(above) - node.level + 1]
    return ".".join([*above, *([node.module] if node.module else [])])


def _signature_of(module: Module, node: ast.AST) -> Signature:
    if isinstance(node, ast.ClassDef) and _is_dataclass(node):
        return _read_fields(module, node)
    module, function = constructor_of(module, node)
    return _read_parameters(module, function.args, skip=int(isinstance(node, ast.ClassDef)))


def find_constructor(target: str) -> tuple[Module, ast.FunctionDef]:
    """Return the function that receives a target's arguments: a task, ``__init__``, or a dataclass's ``__post_init__``.

    Raises:
        UnknownError: The source does not define the function.
    """
    module_name, _, name = target.rpartition(".")
    return constructor_of(*find_name(module_name, name))


def constructor_of(module: Module, node: ast.AST) -> tuple[Module, ast.FunctionDef]:
    """Return the function that receives the arguments of a definition returned by :func:`find_name`."""
    if isinstance(node, ast.FunctionDef) and not node.decorator_list:  # A decorator may return anything.
        return module, node
    if not isinstance(node, ast.ClassDef):
        raise UnknownError(ast.dump(node))
    wanted = "__post_init__" if _is_dataclass(node) else "__init__"
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == wanted:
            return module, statement
    if not node.bases or not isinstance(node.bases[0], ast.Name):
        raise UnknownError(node.name)
    return constructor_of(*find_name(module.name, node.bases[0].id))


def _is_dataclass(node: ast.ClassDef) -> bool:
    decorators = [ast.unparse(decorator).partition("(")[0] for decorator in node.decorator_list]
    return decorators == ["dataclass"] and not node.bases


def _read_parameters(module: Module, arguments: ast.arguments, skip: int = 0) -> Signature:
    positional = [*arguments.posonlyargs, *arguments.args]
    required = [argument.arg for argument in positional[: len(positional) - len(arguments.defaults)]][skip:]
    required += [a.arg for a, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if not default]
    hints = {argument.arg: argument.annotation for argument in [*positional[skip:], *arguments.kwonlyargs]}
    return _with_hints(module, hints, required, takes_any=arguments.kwarg is not None)


def _read_fields(module: Module, node: ast.ClassDef) -> Signature:
    fields = [f for f in node.body if isinstance(f, ast.AnnAssign) and isinstance(f.target, ast.Name)]
    hints: dict[str, ast.expr | None] = {f.target.id: f.annotation for f in fields if isinstance(f.target, ast.Name)}
    required = [f.target.id for f in fields if isinstance(f.target, ast.Name) and f.value is None]
    return _with_hints(module, hints, required, takes_any=False)


def _with_hints(
    module: Module, annotations: dict[str, ast.expr | None], required: list[str], takes_any: bool
) -> Signature:
    hints: dict[str, Any] = {}
    is_complete = True
    for name, annotation in annotations.items():
        try:
            hints[name] = Any if annotation is None else _evaluate(module, annotation)
        except UnknownError:
            hints[name] = Any
            is_complete = False
    return Signature(hints, required, takes_any, is_complete)


def _evaluate(module: Module, annotation: ast.expr) -> Any:
    """Evaluate an annotation as a type hint, with empty stand-ins for classes that are slow to import."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        annotation = ast.parse(annotation.value, mode="eval").body
    names = {node.id for node in ast.walk(annotation) if isinstance(node, ast.Name)}
    namespace = {name: _meaning(module, name) for name in names}
    try:
        return eval(compile(ast.Expression(annotation), str(module.path), "eval"), namespace)
    except Exception as error:
        raise UnknownError(ast.unparse(annotation)) from error


def _meaning(module: Module, name: str) -> Any:
    """Return the object that a name in an annotation refers to."""
    node = module.bound.get(name)
    if node is None:
        if hasattr(builtins, name):
            return getattr(builtins, name)
        raise UnknownError(name)
    if isinstance(node, ast.Import):
        original = next(alias.name for alias in node.names if name in (alias.asname, alias.name))
        if original in _QUICK:
            return importlib.import_module(original)
        raise UnknownError(name)
    if isinstance(node, ast.ImportFrom):
        source = _absolute(module, node)
        original = next(alias.name for alias in node.names if name in (alias.asname, alias.name))
        if source in _QUICK:
            return getattr(importlib.import_module(source), original)
        return _meaning(_read(source), original)
    if isinstance(node, ast.ClassDef):
        if any(ast.unparse(base).rpartition(".")[2].partition("[")[0] in _LIKE_PLAIN_VALUES for base in node.bases):
            raise UnknownError(name)
        return type(name, (), {"__module__": module.name})
    if isinstance(node, ast.expr):  # The name is an alias.
        return _evaluate(module, node)
    raise UnknownError(name)
