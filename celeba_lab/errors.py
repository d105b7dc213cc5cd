"""Errors that the user can correct, and functions that validate settings."""

import difflib
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from inspect import signature
from numbers import Real


class UserError(Exception):
    """An error in the user's input or settings. The message states what is wrong, where, and how to correct it.

    The command-line interface prints the message without a traceback and exits with status 1. Any other exception is a
    bug and is shown with its traceback.

    Example:
        >>> str(UserError("There is no table list_attr_celeba in data/celeba."))
        'There is no table list_attr_celeba in data/celeba.'
    """

    @property
    def sentence(self) -> str:
        """The error message without a traceback.

        If an exception is raised in a DataLoader worker, its message contains the worker's traceback, followed by the
        original message.
        """
        return str(self).rsplit(f"{type(self).__name__}: ", 1)[-1].strip()


class SettingError(UserError):
    """Raised if a setting has an invalid value.

    A function that checks a value passes the name of its own argument as ``setting``. A caller that knows the path of
    the setting in the configuration adds this path with :meth:`within`. The same check can therefore be used for
    objects built in Python and for objects built from YAML.

    Args:
        setting: Name of the argument, such as ``n_images``, or a dotted path that ends with this name.
        value: The invalid value.
        rule: Violated rule, as a phrase such as ``must be at least 3``.
        hint: Additional advice in complete sentences.
        is_absolute: If true, ``setting`` is the full path from the root of the configuration.

    Example:
        >>> error = SettingError("n_images", 2, "must be at least 3")
        >>> print(error.within("task.distances"))
        task.distances.n_images=2 must be at least 3.
    """

    def __init__(self, setting: str, value: object, rule: str, hint: str = "", is_absolute: bool = False) -> None:
        self.setting, self.value, self.rule, self.hint, self.is_absolute = setting, value, rule, hint, is_absolute
        super().__init__(f"{setting}={format_value(value)} {rule}.{f' {hint.strip()}' if hint else ''}")

    def __reduce__(self) -> tuple[type["SettingError"], tuple[object, ...]]:
        return type(self), (self.setting, self.value, self.rule, self.hint, self.is_absolute)

    def within(self, path: str, is_absolute: bool = False) -> "SettingError":
        """Return a copy of this error with ``path`` prepended to its setting, or this error if its path is absolute."""
        if self.is_absolute:
            return self
        setting = f"{path}.{self.setting}" if path else self.setting
        return SettingError(setting, self.value, self.rule, self.hint, is_absolute)

    def renamed(self, setting: str) -> "SettingError":
        """Return a copy of this error with another setting, for a caller whose argument has another name.

        Example:
            >>> print(SettingError("root", "ftp://host/x", "must be a folder").renamed("output"))
            output=ftp://host/x must be a folder.
        """
        return SettingError(setting, self.value, self.rule, self.hint, self.is_absolute)


def missing_extra(feature: str, extra: str) -> UserError:
    """Return the error for a feature whose libraries are not installed.

    Args:
        feature: The feature, as the subject of a sentence.
        extra: Name of the optional dependencies in ``pyproject.toml`` that the feature needs.

    Example:
        >>> print(missing_extra("logger=wandb", "wandb"))
        logger=wandb needs libraries that are not installed. Install them with: pip install 'celeba-lab[wandb]'
    """
    install = f"pip install 'celeba-lab[{extra}]'"
    return UserError(f"{feature} needs libraries that are not installed. Install them with: {install}")


@contextmanager
def settings_of(path: str, is_absolute: bool = False) -> Iterator[None]:
    """Prepend ``path`` to the setting of every :class:`SettingError` that is raised in this block.

    Args:
        path: Path to the configuration node that contains the settings.
        is_absolute: If true, ``path`` is the full path from the root of the configuration.
    """
    try:
        yield
    except SettingError as error:
        raise error.within(path, is_absolute) from error.__cause__


def format_value(value: object) -> str:
    """Format a value as a user would type it on the command line.

    Example:
        >>> [format_value(value) for value in (None, True, 0.5, 1e-9, "skip", ["val", 2])]
        ['null', 'true', '0.5', '1e-09', 'skip', '[val,2]']
        >>> print(format_value([[0.5, 0.9], {"name": "a, b", "size": "8"}]))
        [[0.5,0.9],{name:'a, b',size:'8'}]
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_format_element, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{key}:{_format_element(element)}' for key, element in value.items())}}}"
    return str(value)


_PLAIN = re.compile(r"[A-Za-z_/.][\w/.+%-]*")
_CONSTANTS = ("null", "true", "false", "nan", "inf")


def _format_element(value: object) -> str:
    """Format an element of a list. Texts that Hydra would not read as one text are quoted."""
    if not isinstance(value, str) or (_PLAIN.fullmatch(value) and value.lower() not in _CONSTANTS):
        return format_value(value)
    return quote_override(value)


def quote_override(text: str) -> str:
    r"""Quote a text for Hydra's override grammar, in which a backslash is special only before a quote.

    Example:
        >>> print(quote_override("it's"))
        'it\'s'
    """
    doubled = re.sub(r"(\\+)(?='|$)", r"\1\1", text)
    escaped = doubled.replace("'", "\\'")
    return f"'{escaped}'"


def check_choice(setting: str, value: str, choices: Iterable[str]) -> None:
    """Check that a value is one of ``choices``.

    Raises:
        SettingError: The value is not one of the choices. The hint suggests the most similar choice.
    """
    choices = list(choices)
    if value not in choices:
        raise SettingError(setting, value, f"must be one of {', '.join(choices)}", did_you_mean(str(value), choices))


def check_number(setting: str, value: object) -> None:
    """Check that a value is a number. ``None`` is also valid, for optional settings.

    Settings in a dictionary, such as ``augment={flip: 0.5}``, have no type hints that are checked earlier.

    Raises:
        SettingError: The value is not a number.
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, Real)):
        raise SettingError(setting, value, "must be a number")


def check_keywords(settings: Mapping[str, object], function: Callable[..., object]) -> None:
    """Check that all keys of a dictionary are arguments of a class or function that is called with them.

    Raises:
        SettingError: A key is not the name of an argument.
    """
    known = list(signature(function).parameters)
    for name, value in settings.items():
        if name not in known:
            raise SettingError(name, value, "is not a setting", did_you_mean(str(name), known))


def check_at_least(setting: str, value: float | None, least: float) -> None:
    """Check that a number is finite and not below ``least``.

    ``None`` is also valid, for optional settings.

    Raises:
        SettingError: The number is below ``least``, infinite or NaN.
    """
    check_number(setting, value)
    if value is not None and not least <= value < math.inf:
        raise SettingError(setting, value, f"must be at least {format_value(least)}{_finite(value)}")


def check_above(setting: str, value: float | None, bound: float) -> None:
    """Check that a number is finite and above ``bound``.

    ``None`` is also valid, for optional settings.

    Raises:
        SettingError: The number is infinite, NaN, or not above ``bound``.
    """
    check_number(setting, value)
    if value is not None and not bound < value < math.inf:
        raise SettingError(setting, value, f"must be above {format_value(bound)}{_finite(value)}")


def _finite(value: float) -> str:
    return " and finite" if value == math.inf else ""


def check_between(setting: str, value: float | None, least: float, most: float) -> None:
    """Check that a number is at least ``least`` and at most ``most``.

    ``None`` is also valid, for optional settings.

    Raises:
        SettingError: The number is below ``least``, above ``most`` or NaN.
    """
    check_number(setting, value)
    if value is not None and not least <= value <= most:
        raise SettingError(setting, value, f"must be between {format_value(least)} and {format_value(most)}")


def check_fraction(setting: str, value: float | None) -> None:
    """Check that a number is between 0 and 1 (inclusive).

    ``None`` is also valid, for optional settings.

    Raises:
        SettingError: The number is out of range.
    """
    check_between(setting, value, 0, 1)


def check_positive_fraction(setting: str, value: float) -> None:
    """Check that a number is above 0 and at most 1.

    Raises:
        SettingError: The number is out of range.
    """
    check_number(setting, value)
    if not 0 < value <= 1:
        raise SettingError(setting, value, "must be above 0 and at most 1")


def check_inner_fraction(setting: str, value: float) -> None:
    """Check that a number is above 0 and below 1.

    Raises:
        SettingError: The number is out of range.
    """
    check_number(setting, value)
    if not 0 < value < 1:
        raise SettingError(setting, value, "must be above 0 and below 1")


# Control characters, characters that are invisible or change the direction of text, and bytes that are not valid UTF-8.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
# A longer path or value without spaces is shortened in a message.
_LONGEST_WORD = 300


def escape_controls(text: str, kept: str = "") -> str:
    r"""Escape all characters that a terminal would interpret or not show, such as the start of a colour code.

    Args:
        text: Text that may contain names from files.
        kept: Control characters that are not escaped.

    Example:
        >>> print(escape_controls("a\x1b[31m\nb"))
        a\x1b[31m\nb
    """
    return _UNSAFE.sub(lambda found: found[0] if found[0] in kept else ascii(found[0])[1:-1], text)


def readable(sentence: str) -> str:
    """Return an error message on one line, with unsafe characters escaped and long values shortened.

    Example:
        >>> readable("The name " + 1000 * "a" + " is too long.")[-60:]
        'aaaaa... (1,000 characters) is too long.'
    """

    def shortened(found: re.Match[str]) -> str:
        return f"{found[0][:100]}... ({len(found[0]):,} characters)"

    return re.sub(rf"\S{{{_LONGEST_WORD},}}", shortened, escape_controls(sentence))


class DivergenceError(UserError):
    """Raised if training diverges, so that invalid weights never replace a checkpoint."""


def find_nearest(name: str, choices: Iterable[str]) -> str | None:
    """Return the choice with the spelling closest to ``name``, ignoring case, or None if no choice is similar."""
    folded = {choice.casefold(): choice for choice in choices}
    matches = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.6)
    return folded[matches[0]] if matches else None


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the choice closest to ``name``, or an empty string if none is close."""
    nearest = find_nearest(name, choices)
    return f" Did you mean '{nearest}'?" if nearest else ""


def enumerate_names(names: Iterable[str], limit: int = 5) -> str:
    """Join up to ``limit`` names with commas, and append the number of remaining names."""
    names = list(names)
    rest = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {rest} more" if rest > 0 else "")
