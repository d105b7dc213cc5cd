"""Apply the argument checks of constructors before any slow imports.

Constructors and tasks contain statements such as ``check_at_least("n", n, 1)``. Statements that use only arguments and
constants can be run with the values in the configuration. Each rule therefore exists only once, in the constructor, but
an invalid value is reported before torch and Lightning are imported.

A rule is one of the following statements in the body of a constructor or a task, or of a function that it calls with
its own arguments:

- a call to a function whose name contains ``check_``
- a ``raise`` statement, or an ``if`` or ``for`` statement that contains only rules
- a ``with settings_of(...)`` block that contains rules

A rule may use arguments, constants of its module and Python's built-in functions, but not local variables. All other
statements run only in the constructor. Rules that use a local variable are not applied here, so
tests/cli/test_rules.py checks that every numeric setting has a rule that is applied.
"""

import ast
import builtins
from collections.abc import Callable, Iterable
from contextlib import suppress
from inspect import Parameter, Signature
from types import SimpleNamespace
from typing import Any

from omegaconf import DictConfig, OmegaConf

from celeba_lab import errors
from celeba_lab.cli.signatures import Module, UnknownError, constructor_of, find_constructor, find_name, read_signature
from celeba_lab.errors import SettingError, UserError

PACKAGE = "celeba_lab"
"""Only classes in this package are checked, because other classes do not express rules in this way."""

_ERRORS = {name: value for name, value in vars(errors).items() if not name.startswith("_")}


def check_rules(cfg: DictConfig) -> None:
    """Apply the rules of every ``_target_`` in the configuration to its arguments.

    Raises:
        UserError: A value violates a rule.
    """
    for node in cfg.values():
        if isinstance(node, DictConfig):
            if "_target_" in node:
                _check_node(node)
            check_rules(node)


def _check_node(node: DictConfig) -> None:
    try:
        module, function = find_constructor(node._target_)
    except UnknownError:
        return
    values: dict[str, Any] = OmegaConf.to_object(node)  # type: ignore[assignment]
    try:
        _apply_rules(module, function, values)
    except SettingError as error:
        raise error.within(str(node._get_full_key(None)), is_absolute=True) from None


def _apply_rules(module: Module, function: ast.FunctionDef, values: dict[str, Any]) -> None:
    """Run the rules in the body of a function, and the rules of the objects that it builds from its arguments."""
    for statement in function.body:
        _apply_statement(module, statement, values)


def _apply_statement(module: Module, statement: ast.stmt, values: dict[str, Any]) -> None:
    try:
        if _is_rule(statement):
            _run(module, statement, values)
        elif isinstance(statement, ast.With):  # settings_of("loss")
            with _evaluate(module, statement.items[0].context_expr, values):
                for inner in statement.body:
                    _apply_statement(module, inner, values)
        elif isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Call):
            _check_call(module, statement.value, values)
    except UserError:
        raise
    # Any other error means only that the statement cannot be evaluated yet. The constructor runs it again later.
    except Exception:
        return


def _check_call(module: Module, call: ast.Call, values: dict[str, Any]) -> None:
    """Apply the rules of a class or function of this package to the arguments of a call."""
    home, definition = find_name(module.name, ast.unparse(call.func))
    if not isinstance(definition, ast.ClassDef | ast.FunctionDef) or home.name.partition(".")[0] != PACKAGE:
        return
    signature = read_signature(f"{home.name}.{definition.name}")
    home, function = constructor_of(home, definition)
    known: dict[str, Any] = {}
    for name, argument in [*zip(signature.hints if signature else (), call.args, strict=False), *_keywords(call)]:
        with suppress(Exception):  # Skip an argument that cannot be computed from the known values.
            value = _evaluate(module, argument, values)
            known |= {name: value} if name else value
    if function.args.kwarg is not None:
        names = [argument.arg for argument in [*function.args.args, *function.args.kwonlyargs]]
        known[function.args.kwarg.arg] = {name: value for name, value in known.items() if name not in names}
    _apply_rules(home, function, known)


def _keywords(call: ast.Call) -> list[tuple[str | None, ast.expr]]:
    """Return the keyword arguments of a call; the name of ``**mapping`` is None."""
    return [(keyword.arg, keyword.value) for keyword in call.keywords]


def _run(module: Module, statement: ast.stmt, values: dict[str, Any]) -> None:
    """Run a statement with the arguments as its variables."""
    namespace = {name: _value(module, name, values) for name in _free_names(statement)}
    exec(compile(ast.Module([statement], []), str(module.path), "exec"), namespace)


def _evaluate(module: Module, expression: ast.expr, values: dict[str, Any]) -> Any:
    """Return the value of an expression that consists of arguments and constants."""
    namespace = {name: _value(module, name, values) for name in _free_names(expression)}
    whole = ast.fix_missing_locations(ast.Expression(expression))
    return eval(compile(whole, str(module.path), "eval"), namespace)


def _is_rule(statement: ast.stmt) -> bool:
    """Return whether a statement only calls checks or raises errors, possibly in a condition or a loop."""
    if isinstance(statement, ast.If | ast.For):
        return all(map(_is_rule, [*statement.body, *statement.orelse]))
    if isinstance(statement, ast.Raise):
        return True
    call = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and "check_" in call.func.id


def _free_names(statement: ast.AST) -> set[str]:
    nodes = list(ast.walk(statement))
    bound = {node.arg for node in nodes if isinstance(node, ast.arg)}
    bound |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return {node.id for node in nodes if isinstance(node, ast.Name)} - bound


def _value(module: Module, name: str, values: dict[str, Any]) -> Any:
    """Return the object that a name in a rule refers to.

    Raises:
        UnknownError: The name is not an argument, a constant, a function that contains only rules, a member of
            ``errors`` or a builtin.
    """
    if name == "self":  # In __post_init__, the arguments are attributes.
        return SimpleNamespace(**values)
    for known in (values, _ERRORS, vars(builtins)):
        if name in known:
            return known[name]
    module, found = find_name(module.name, name)
    if isinstance(found, ast.FunctionDef):
        return _check_function(module, found)
    if isinstance(found, ast.expr) and not any(isinstance(node, ast.Call) for node in ast.walk(found)):
        with suppress(UnknownError):
            return _evaluate(module, found, {})
    if isinstance(found, ast.ClassDef):
        return _stand_in(module, found)
    if isinstance(found, ast.Dict):  # of functions or classes; its keys are the choices
        return [ast.literal_eval(key) for key in found.keys if key is not None]
    raise UnknownError(name)


class _StandIn:
    """An object with a signature, as returned by ``inspect.signature``, in place of a class that is slow to import."""

    def __init__(self, names: Iterable[str]) -> None:
        self.__signature__ = Signature([Parameter(name, Parameter.KEYWORD_ONLY) for name in names])

    def __call__(self, **_: Any) -> None: ...


def _stand_in(module: Module, definition: ast.ClassDef) -> Callable[..., None]:
    """Return an object with the arguments of a class, for rules that compare keys with these arguments."""
    signature = read_signature(f"{module.name}.{definition.name}")
    if signature is None:
        raise UnknownError(definition.name)

    return _StandIn(signature.hints)


def _check_function(module: Module, function: ast.FunctionDef) -> Callable[..., None]:
    """Return a callable that runs the rules of a function that contains only rules."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    if function.decorator_list or not all(map(_is_rule, body)):
        raise UnknownError(function.name)
    names = [argument.arg for argument in function.args.args]

    def check(*given: Any, **named: Any) -> None:
        for statement in body:
            _run(module, statement, dict(zip(names, given, strict=False)) | named)

    return check
