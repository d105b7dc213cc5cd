"""Resume an interrupted run in its own folder and with its own settings: ``resume=FOLDER``."""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from celeba_lab.cli.job_names import key_of
from celeba_lab.cli.targets import trusted_modules
from celeba_lab.cli.typed import is_of_hydra, list_typed_again
from celeba_lab.config import flatten, overrides_of
from celeba_lab.console import command_line, display_path, format_override
from celeba_lab.errors import SettingError, UserError, format_value
from celeba_lab.files import load_yaml, naming_file
from celeba_lab.runs.job import Job
from celeba_lab.runs.settings import OVERRIDES, REPEAT, RESUME, SETTINGS
from celeba_lab.runs.summary import SUMMARY
from celeba_lab.runs.sweep import Sweep

# Settings, with all settings below them, for which a finished run is continued: how long it trains, what it reports.
_EXTENDING = (
    "recipe.max_epochs",
    "trainer.max_epochs",
    "trainer.max_steps",
    "trainer.max_time",
    "trainer.limit_test_batches",
    "task.report",
    "task.auditor",
    "task.nearest",
)
# Other settings that can be changed. Of these, only the device and the precision can change the result, by rounding.
CHANGEABLE = (
    *_EXTENDING,
    "print_config",
    "score",
    "trusted_modules",
    "fail_fast",
    "data.root",
    "data.num_workers",
    "data.store",
    "data.cache",
    "data.eval_batch_size",
    "data.max_pixels",
    "trainer.accelerator",
    "trainer.precision",
    "trainer.log_every_n_steps",
    "trainer.deterministic",
    "trainer.benchmark",
    "trainer.detect_anomaly",
    "trainer.profiler",
    "trainer.enable_progress_bar",
    "trainer.enable_model_summary",
    "callbacks.progress_bar",
    "callbacks.model_summary",
    "callbacks.image_grid",
    "callbacks.samples",
    "callbacks.epoch_log",
    "callbacks.last.every_n_minutes",
    "callbacks.health",
    "callbacks.learning_rate",
    "callbacks.throughput",
    "callbacks.device_stats",
)
# Settings that a GAN applies again when training starts.
_CHANGEABLE_FOR_GAN = ("model.lr", "model.discriminator_lr", "model.betas")
_HYDRA = ".hydra/hydra.yaml"
# What is done with the run in a folder, by the setting that selects the folder.
_PURPOSES = {RESUME: "resumed", REPEAT: "repeated"}
# Names of the files that celeba_lab and Hydra write, in each folder of a run.
_FILES = {
    ".": ("*.csv", "*.json", "*.yaml", "*.html", "*.log", "events.out.tfevents.*"),
    ".hydra": ("*.yaml",),
    "checkpoints": ("*.ckpt",),
    "figures": ("*.png",),
    "tables": ("*.csv",),
}


def resume_command(folder: Path, others: Iterable[str] = ()) -> str:
    """Return the command that resumes the run or the sweep in a folder.

    The files in the folder cannot give permissions, and do not contain settings of Hydra itself. The command therefore
    contains those that the user has typed, and ``others``, which only a sweep needs.
    """
    return _command_for(RESUME, folder, others)


def repeat_command(folder: Path) -> str:
    """Return the command that repeats the run in a folder."""
    return _command_for(REPEAT, folder)


def _command_for(purpose: str, folder: Path, others: Iterable[str] = ()) -> str:
    trusted = ",".join(dict.fromkeys(trusted_modules()))
    permissions = [*([f"trusted_modules=[{trusted}]"] if trusted else []), *others, *list_typed_again()]
    return command_line([format_override(purpose, display_path(folder)), *permissions])


def find_resumable(path: str) -> str | None:
    """Return the command that resumes the run in a folder, or None if its settings have not been written yet."""
    folder = Path(path)
    return resume_command(folder) if all((folder / file).is_file() for file in (SETTINGS, OVERRIDES)) else None


def expand_run(folder: Path, arguments: list[str]) -> list[str]:
    """Return arguments that make Hydra compose the settings of the run in a folder again.

    Args:
        folder: Absolute path to the folder of the run.
        arguments: Other arguments on the command line.

    Returns:
        The overrides of the run, followed by those in ``arguments``.

    Raises:
        UserError: The folder does not contain a run that can be resumed.
    """
    if {"-m", "--multirun"} & set(arguments):
        raise UserError(f"-m cannot be combined with resume={folder}, because this is the folder of a single run.")
    check_run(folder)
    own, given = split_arguments(arguments)
    overrides = merge_overrides(_read_overrides(folder), given)
    # Without a subfolder, Hydra does not overwrite the settings of the run before the new overrides have been checked.
    # The run may be one of a sweep whose file sets hydra.mode.
    hydra = ["hydra.mode=RUN", format_override("hydra.run.dir", folder), "hydra.output_subdir=null"]
    return [*_config_sources(folder, own), *own, *overrides, *hydra, format_override(RESUME, folder)]


def split_arguments(arguments: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return the options and overrides of Hydra itself, and the overrides of the task.

    Example:
        >>> split_arguments(["--config-dir", "mine", "hydra.run.dir=x", "seed=1", "~callbacks.ema"])
        (['--config-dir', 'mine', 'hydra.run.dir=x'], ['seed=1', '~callbacks.ema'])
    """
    own: list[str] = []
    given: list[str] = []
    for text in arguments:
        is_word = "=" not in text and not text.startswith("~")
        (own if is_of_hydra(text) or text.startswith("-") or is_word else given).append(text)
    return own, given


def check_run(folder: Path, purpose: str = RESUME) -> None:
    """Check that a folder contains a run that can be resumed or repeated.

    Args:
        folder: Folder of the run.
        purpose: Name of the setting that selected the folder.

    Raises:
        UserError: A file is missing, or is not of the kind that its name promises.
    """
    name = format_override(purpose, display_path(folder))
    if (folder / "multirun.yaml").is_file():
        hint = "It was stopped in its first seconds, or is from an earlier version of celeba_lab."
        raise UserError(f"{name} is the folder of a sweep, but does not contain {Sweep.FILE}. {hint}")
    hint = " A run that was stopped in its first seconds has nothing to resume: delete its folder and start a new run."
    inside = next((path.parent for path in sorted(folder.glob("**/*")) if path.name in (SETTINGS, Sweep.FILE)), None)
    if (folder / Job.FILE).is_file():
        hint = f" Resume its sweep instead: {_command_for(purpose, folder.parent)}"
    elif inside is not None:
        hint = f" Choose one of the folders in it: {_command_for(purpose, inside)}"
    for file in (SETTINGS, OVERRIDES):
        if not (folder / file).is_file():
            reason = f"{name} cannot be {_PURPOSES[purpose]}, because the folder does not contain {file}."
            raise UserError(f"{reason}{hint if purpose == RESUME or inside is not None else ''}")
    check_files(folder, purpose)


def check_files(folder: Path, purpose: str = RESUME) -> None:
    """Check that a run folder contains only files and folders of its own, each of the kind that its name promises.

    Through a link, a resumed run would change other files. Links within the folder, as Lightning's ``save_last=link``
    creates them, are harmless.

    Args:
        folder: Folder of the run.
        purpose: Name of the setting that selected the folder.

    Raises:
        UserError: A file is a link, a pipe or a device, or a folder has the name of a file.
    """
    for path in sorted(folder.rglob("*")):
        problem = _find_problem(path, folder)
        if problem is not None:
            raise UserError(
                f"{format_override(purpose, folder)} cannot be {_PURPOSES[purpose]}, because"
                f" {path.relative_to(folder)} in it {problem}. Delete it, or replace it by the file or folder that you"
                " need."
            )


def _find_problem(path: Path, folder: Path) -> str | None:
    """Return what is wrong with a file or folder in a run folder, or None."""
    if not path.is_file() and not path.is_dir():
        return "is neither a file nor a folder"
    if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
        return "is a link out of the folder"
    place = path.parent.relative_to(folder).as_posix()
    if path.is_file():
        return "is a file, but must be a folder" if place == "." and path.name in _FILES else None
    # Temporary files are deleted wherever they are.
    patterns = (*_FILES.get(place, ()), ".*.part")
    is_known = any(fnmatchcase(path.name, pattern) for pattern in patterns)
    return "is a folder, but must be a file" if is_known else None


def _read_overrides(folder: Path) -> list[str]:
    """Return the overrides of a run, without those of an earlier resumption."""
    with naming_file(folder / OVERRIDES):
        stored = OmegaConf.to_container(load_yaml(folder / OVERRIDES, folder), resolve=False)
    if not isinstance(stored, list) or not all(isinstance(text, str) for text in stored):
        raise UserError(f"{display_path(folder / OVERRIDES)} is damaged: it is not a list of overrides.")
    # Hydra itself stores only overrides of the task. An option such as --experimental-rerun would load a pickle.
    for text in stored:
        if text.startswith("-") or key_of(text).partition(".")[0].partition("/")[0] == "hydra":
            raise UserError(f"{display_path(folder / OVERRIDES)} contains {text}, which is not a setting of a run.")
    return [text for text in stored if key_of(text) not in _PURPOSES]


def expand_repeat(folder: Path, arguments: list[str]) -> list[str]:
    """Return arguments that make Hydra compose the settings of the run in a folder again, for a new run.

    Args:
        folder: Absolute path to the folder of the run.
        arguments: Other arguments on the command line.

    Raises:
        UserError: The folder does not contain a finished run.
    """
    name = format_override(REPEAT, display_path(folder))
    if {"-m", "--multirun"} & set(arguments):
        raise UserError(f"-m cannot be combined with {name}. Repeat the runs of a sweep one by one.")
    if (folder / Sweep.FILE).is_file():
        raise UserError(f"{name} is the folder of a sweep. Repeat its runs one by one.")
    check_run(folder, REPEAT)
    if not (folder / SUMMARY).is_file():
        hint = f"Resume it first: {resume_command(folder)}"
        if (folder / Job.FILE).is_file() and Job.read(folder).state == "pruned":
            hint = "It was pruned by its search. Start a new run with its settings instead."
        raise UserError(f"{name} is not a finished run. {hint}")
    own, given = split_arguments(arguments)
    overrides = merge_overrides(_read_overrides(folder), given)
    return [*_config_sources(folder, own), "hydra.mode=RUN", *own, *overrides, format_override(REPEAT, folder)]


def _config_sources(folder: Path, own: Iterable[str]) -> list[str]:
    """Return the options ``--config-dir`` and ``--config-name`` of a run, unless new ones were given."""
    path = folder / _HYDRA
    if not path.is_file() or any(text.startswith(("-c", "--config")) for text in own):
        return []
    with naming_file(path):
        stored = load_yaml(path, folder)
        name = OmegaConf.select(stored, "hydra.job.config_name", default="config")
        sources = OmegaConf.select(stored, "hydra.runtime.config_sources", default=[])
        sources = OmegaConf.to_object(sources) if OmegaConf.is_config(sources) else sources
    if not isinstance(name, str) or not isinstance(sources, list) or not all(map(_is_source, sources)):
        raise UserError(f"{display_path(path)} is damaged: its config_name or config_sources cannot be used.")
    options = [] if name == "config" else ["--config-name", name]
    given = [source["path"] for source in sources if source["provider"] == "command-line"]
    return [*options, *(["--config-dir", given[0]] if given else [])]


def _is_source(source: Any) -> bool:
    return isinstance(source, dict) and all(isinstance(source.get(key), str) for key in ("path", "provider"))


def merge_overrides(earlier: Iterable[str], later: Iterable[str]) -> list[str]:
    """Return both lists of overrides as one in which each setting occurs once, because Hydra rejects repeated groups.

    Example:
        >>> merge_overrides(["trainer=cpu", "seed=1", "+x=1"], ["seed=2", "x=2"])
        ['trainer=cpu', 'seed=2', '+x=2']
    """
    merged = {key_of(text): text for text in earlier}
    for text in later:
        key = key_of(text)
        added = merged.get(key, "").startswith("+")
        if added and text.startswith("~"):
            del merged[key]
        else:
            merged[key] = f"+{text.lstrip('+')}" if added else text
    return list(merged.values())


def restore_settings(cfg: DictConfig) -> bool:
    """Replace a composed configuration by the settings of the resumed run, with the settings that were given now.

    Args:
        cfg: The composed configuration, which is modified in place.

    Returns:
        Whether anything is left to do: the run is not finished, or a setting was changed for which it is continued.

    Raises:
        UserError: A setting cannot be changed when a run is resumed, or ``config.yaml`` is damaged.
    """
    from hydra.core.hydra_config import HydraConfig

    folder = Path(str(cfg.resume))
    if folder != Path(HydraConfig.get().runtime.output_dir):
        raise UserError(f"Give {format_override(RESUME, cfg.resume)} on the command line, without other characters.")
    changed = _restore(cfg, folder, RESUME)
    return not (folder / SUMMARY).is_file() or any(is_below(key, _EXTENDING) for key in changed)


def restore_repeated(cfg: DictConfig) -> None:
    """Replace a composed configuration by the settings of the run that is repeated, but keep the new folder.

    Args:
        cfg: The composed configuration, which is modified in place.

    Raises:
        UserError: A setting cannot be changed when a run is repeated, or ``config.yaml`` is damaged.
    """
    _restore(cfg, Path(str(cfg.repeat)), REPEAT)


def _restore(cfg: DictConfig, folder: Path, purpose: str) -> list[str]:
    """Replace a composed configuration by the settings in a folder, and return the settings that were given now."""
    from hydra import compose
    from hydra.core.hydra_config import HydraConfig

    hydra = HydraConfig.get()
    earlier = _read_overrides(folder)
    own = compose(str(hydra.job.config_name), [*earlier, format_override(purpose, folder)])
    stored = _read_settings(folder, own)
    given = {key_of(text).replace("/", ".") for text in overrides_of(hydra, "task") if text not in earlier}
    changed = _find_changes(stored, own, cfg, given - set(_PURPOSES))
    check_changes({key: _leaves(cfg).get(key) for key in changed}, _leaves(stored), _PURPOSES[purpose])
    _update(stored, changed, cfg)
    _move(stored, own, cfg, Path(hydra.runtime.output_dir))
    with open_dict(cfg):
        for key in map(str, list(cfg)):
            # A resumed run may itself repeat another one.
            if key in stored and key != RESUME and (key != REPEAT or purpose == RESUME):
                # The types of the schema are kept.
                is_typed = isinstance(cfg[key], DictConfig) and OmegaConf.get_type(cfg, key) is not dict
                cfg[key] = OmegaConf.merge(cfg[key], stored[key]) if is_typed else stored[key]
    return changed


def _read_settings(folder: Path, own: DictConfig) -> DictConfig:
    """Read the settings of a run, and add those that another version of celeba_lab did not know.

    Args:
        folder: Folder of the run.
        own: The settings of the run, composed again.

    Raises:
        UserError: The file is damaged.
    """
    path = folder / SETTINGS
    stored = load_yaml(path)
    if not isinstance(stored, DictConfig):
        raise UserError(f"{display_path(path)} is damaged: it does not contain settings.")
    for key, value in flatten(OmegaConf.to_container(stored)).items():
        # Runs store resolved settings. Interpolations could read environment variables, or multiply each other.
        if isinstance(value, str) and "${" in value:
            raise UserError(f"{display_path(path)} is damaged: {key} contains an interpolation.")
    for key in map(str, {**own, **stored}):
        if key not in own:
            raise UserError(f"{display_path(path)} is damaged: {key} is not a setting of celeba_lab.")
        group, found = own[key], stored.get(key)
        # Without a target, a group is not used, and may have been replaced by null.
        is_unused = isinstance(group, DictConfig) and "_target_" not in group and found is None
        if isinstance(group, DictConfig) and group and not is_unused and not (isinstance(found, DictConfig) and found):
            raise UserError(f"{display_path(path)} is damaged: the settings in {key} are missing.")
    absent = object()
    for key in _leaves(own):
        if not key.startswith("data.otherwise") and OmegaConf.select(stored, key, default=absent) is absent:
            OmegaConf.update(stored, key, OmegaConf.select(own, key), force_add=True)
    return stored


def _find_changes(stored: DictConfig, own: DictConfig, cfg: DictConfig, given: Iterable[str]) -> list[str]:
    """Return the settings that were changed, sorted so that the setting that the user gave comes first.

    A setting was changed if the overrides change what is composed, or if its value was given and differs from the one
    that the run uses. The two differ if a configuration file has been edited since the run was started.

    Args:
        stored: The settings of the run.
        own: The settings of the run, composed again.
        cfg: The settings of the run, composed again with the overrides that were given now.
        given: Keys of these overrides.
    """
    used, before, after = _leaves(stored), _leaves(own), _leaves(cfg)
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    named = {key for key in used.keys() | after.keys() if is_below(key, given)}
    changed |= {key for key in named if used.get(key) != after.get(key)}
    # A change of seed also changes data.seed.
    return sorted(changed, key=lambda key: (key.count("."), key))


def is_below(key: str, names: Iterable[str]) -> bool:
    """Return whether a dotted key is one of ``names``, or below one of them."""
    return any(key == name or key.startswith(f"{name}.") for name in names)


def _update(stored: DictConfig, keys: Iterable[str], cfg: DictConfig) -> None:
    """Give settings of a run their new values."""
    after = _leaves(cfg)
    for key in keys:
        if key in after:
            OmegaConf.update(stored, key, OmegaConf.select(cfg, key), force_add=True)
        else:
            _delete(stored, key)


def _move(stored: DictConfig, own: DictConfig, cfg: DictConfig, folder: Path) -> None:
    """Change all paths in the run folder, because the folder may have been moved since the run was started."""
    _update(stored, [k for k, v in _leaves(own).items() if isinstance(v, str) and v.startswith(str(folder))], cfg)


def check_changes(changed: Mapping[str, Any], before: Mapping[str, Any], purpose: str = "resumed") -> None:
    """Check that only settings are changed that can be changed when a run is resumed or repeated.

    Args:
        changed: New values by dotted key.
        before: Values of the run by dotted key.
        purpose: What is done with the run, as a past participle.

    Raises:
        SettingError: A setting cannot be changed.
    """
    is_gan = str(before.get("model._target_")).endswith(".GAN")
    changeable = CHANGEABLE + (_CHANGEABLE_FOR_GAN if is_gan else ())
    for key, value in changed.items():
        if not is_below(key, changeable):
            used = f"the run uses {format_value(before[key])}" if key in before else "the run does not use it"
            rule = f"cannot be changed when a run is {purpose} ({used})"
            raise SettingError(key, value, rule, "Start a new run with this setting.", is_absolute=True)


def _leaves(cfg: DictConfig) -> dict[str, Any]:
    return flatten(OmegaConf.to_container(cfg, resolve=True))


def _delete(cfg: DictConfig, key: str) -> None:
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(cfg, parent) if parent else cfg
    if isinstance(node, DictConfig) and name in node:
        del node[name]
        if not node and parent:
            _delete(cfg, parent)
