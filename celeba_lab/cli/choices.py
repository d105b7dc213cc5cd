"""The choices of each configuration group, read from the names of its files without slow imports.

``conf/loss`` and ``conf/recipe`` contain a folder for each model that has its own losses and recipes, such as
``conf/loss/gan``. The choices in such a folder start with the name of the folder, as in ``loss=gan/hinge``.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from celeba_lab.errors import UserError, did_you_mean, find_nearest, missing_extra
from celeba_lab.files import config_directory

_GROUPS_OF_MODELS = ("loss", "recipe")


_EXTRAS = {
    "hydra/launcher/joblib": "sweep",
    "hydra/launcher/ray": "ray",
    "hydra/launcher/submitit_local": "slurm",
    "hydra/launcher/submitit_slurm": "slurm",
    "hydra/sweeper/optuna": "sweep",
}
"""Choices that exist only if the optional libraries of an extra are installed."""
_WHOLE = ("default", "gan")
"""Choices of callbacks that contain everything that a run needs. The other files contain one callback each."""
_DEBUGGED = ("train", "train_gan")
"""Tasks for which there are debug presets."""


def list_choices(group: str) -> list[str]:
    """Return the choices in a group. Choices in model folders come last."""
    folder = config_directory() / group
    names = sorted(path.stem for path in folder.glob("*.yaml"))
    if group in _GROUPS_OF_MODELS:
        names += sorted(f"{path.parent.name}/{path.stem}" for path in folder.glob("*/*.yaml"))
    return names


def list_groups() -> list[str]:
    """Return the names of all groups, such as ``loss`` and ``task/scaler``."""
    conf = config_directory()
    folders = [path.parent.relative_to(conf) for path in conf.rglob("*.yaml")]
    names = {str(folder) for folder in folders if folder.parts and folder.parts[0] != "base"}
    # Plugins of Hydra add other choices to its own groups, such as hydra/launcher.
    excluded = tuple(f"{group}/" for group in (*_GROUPS_OF_MODELS, "hydra"))
    return sorted(name for name in names if not name.startswith(excluded))


def list_optional_choices(group: str) -> list[str]:
    """Return those choices in a group that need the optional libraries of an extra."""
    return [path.rpartition("/")[2] for path in _EXTRAS if path.rpartition("/")[0] == group]


def explain_unknown_choice(path: str, options: Iterable[str]) -> str:
    """Return an error message that names an unknown choice and lists the valid choices.

    Args:
        path: Group and name of the choice, such as ``loss/hinge``.
        options: Choices that Hydra found.
    """
    group, _, name = path.rpartition("/")
    if path in _EXTRAS:
        return missing_extra(f"{group}={name}", _EXTRAS[path]).sentence
    choices = sorted(options) or (list_choices(group) if group in list_groups() else [])  # Hydra finds none for a list.
    if (top := path.partition("/")[0]) in _GROUPS_OF_MODELS:
        group, name, choices = top, path.removeprefix(f"{top}/"), list_choices(top)
    sentence = f"'{name}' is not a choice for {group}." if group else f"The configuration '{name}' does not exist."
    return f"{sentence}{_suggest(name, choices)}"


# Hydra's options, with and without a value.
_OPTIONS_WITH_VALUE = [
    *("--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd"),
    *("--experimental-rerun", "--info", "-i"),
]
_OPTIONS = ["--hydra-help", "--version", "--resolve", "--run", "-r", "--multirun", "-m", "--shell-completion", "-sc"]
_EXCLUSIVE = ["--run", "-r", "--multirun", "-m", "--cfg", "-c", "--info", "-i"]


def order_arguments(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with options first, because Hydra does not accept options between overrides.

    Raises:
        UserError: An argument that starts with a dash is not an option, or two options exclude each other.

    Example:
        >>> order_arguments(["experiment=smile", "--cfg", "job", "seed=1"])
        ['--cfg', 'job', 'experiment=smile', 'seed=1']
    """
    options: list[str] = []
    overrides: list[str] = []
    rest = iter(arguments)
    for text in rest:
        name, has_value, _ = text.partition("=")
        if not text.startswith("-"):
            overrides.append(text)
        elif name in _OPTIONS_WITH_VALUE:
            options += [text] if has_value else [text, *([value] if (value := next(rest, None)) is not None else [])]
        elif name in _OPTIONS:
            options.append(text)
        else:
            hint = f" Settings are given without dashes: {text.lstrip('-')}" if has_value else ""
            raise UserError(f"{text} is not an option.{hint or did_you_mean(name, [*_OPTIONS, *_OPTIONS_WITH_VALUE])}")
    exclusive = [text for text in options if text.partition("=")[0] in _EXCLUSIVE]
    if len(exclusive) > 1:
        raise UserError(f"{exclusive[0]} cannot be combined with {exclusive[1]}. Leave out one of them.")
    return [*options, *overrides]


def list_option_values(arguments: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return options with their values, each as one argument.

    Args:
        arguments: Command-line arguments.
        names: Names of the options.

    Example:
        >>> list_option_values(["-cd", "mine", "seed=1", "--config-name=x"], ["--config-dir", "-cd", "--config-name"])
        ['-cd=mine', '--config-name=x']
    """
    found = []
    for place, text in enumerate(arguments):
        name, has_value, _ = text.partition("=")
        if name in names and (has_value or place + 1 < len(arguments)):
            found.append(text if has_value else f"{name}={arguments[place + 1]}")
    return found


def check_group_overrides(arguments: Iterable[str]) -> None:
    """Check that the command line chooses an option of each group by its name, because Hydra accepts only names.

    Args:
        arguments: Command-line arguments.

    Raises:
        UserError: The choice for a group is not a name. Only experiments and loggers can also be a list of names.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import OverrideParseException

    groups = list_groups()
    for text in arguments:
        key, is_assigned, _ = text.lstrip("+~").partition("=")
        if key not in groups or not is_assigned:
            continue
        with suppress(OverrideParseException):  # Hydra itself reports values that cannot be parsed.
            [override] = OverridesParser.create().parse_overrides([text])
            if not override.is_sweep_override() and not _names_a_choice(key, override.value()):
                raise UserError(f"{text} is not a choice. Choose one of {', '.join(list_choices(key))}.")
            if key == "callbacks" and not override.is_sweep_override():
                _check_pieces(override.value())


def _check_pieces(value: object) -> None:
    """Check that single callbacks are combined with the others, which save checkpoints and record the metrics."""
    names = [str(name) for name in (value if isinstance(value, list) else [value])]
    if set(names) <= set(list_choices("callbacks")) - set(_WHOLE):
        combined = ",".join(["default", *names])
        raise UserError(
            f"callbacks={','.join(names)} would leave out all other callbacks, such as those that save checkpoints."
            f" Combine them: callbacks=[{combined}], or for a GAN callbacks=[{','.join(['gan', *names])}]."
        )


def _names_a_choice(group: str, value: object) -> bool:
    names = value if group in ("callbacks", "experiment", "logger") and isinstance(value, list) else [value]
    return bool(names) and all(isinstance(name, str) for name in names)


def check_choices(chosen: Mapping[str, str | None]) -> None:
    """Check that the chosen loss and recipe belong to the chosen model, and the other choices to each other.

    Args:
        chosen: Choice for each group, or None for groups without a choice.

    Raises:
        UserError: The loss or the recipe belongs to a different model, single callbacks are not combined with the
            others, or there are no debug presets for the task.
    """
    model = chosen.get("model")
    if chosen.get("callbacks") is not None:
        _check_pieces(chosen["callbacks"])
    if (debug := chosen.get("debug")) is not None:
        if chosen.get("task") not in _DEBUGGED:
            raise UserError(
                f"debug={debug} does not work with task={chosen.get('task')}, which does not train a model."
            )
        if debug == "overfit" and model != "classifier":
            raise UserError("debug=overfit works only with a classifier, because the losses of a GAN do not fall to 0.")
    for group in _GROUPS_OF_MODELS:
        choice, choices = chosen.get(group), list_choices(group)
        if model is None or choice is None:
            continue
        kind = model if any(_kind(name) == model for name in choices) else ""
        if _kind(choice) != kind:
            suggestion = _suggest(choice, [name for name in choices if _kind(name) == kind])
            raise UserError(f"{group}={choice} does not work with model={model}.{suggestion}")


def _kind(choice: str) -> str:
    """Return the model folder that contains a choice, or an empty string if there is none."""
    return choice.rpartition("/")[0]


def _suggest(name: str, choices: list[str]) -> str:
    """Return a hint with the most similar choice and the alternatives."""
    last_parts = {choice.rpartition("/")[2]: choice for choice in reversed(choices)}
    nearest = last_parts.get(name.rpartition("/")[2])
    if nearest is None and f"{name}/default" in choices:
        nearest = f"{name}/default"
    if nearest is None:
        nearest = find_nearest(name, [*choices, *last_parts])
        nearest = last_parts.get(nearest or "", nearest)
    if nearest is None:
        hint = ""
    else:
        hint = f" Did you mean '{nearest}'?"
        choices = [choice for choice in choices if _kind(choice) == _kind(nearest)]
    return f"{hint} Choose from: {', '.join(choices)}." if choices else hint
