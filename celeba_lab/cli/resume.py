"""Resume an interrupted run in its own folder and with its own settings: ``resume=FOLDER``."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from celeba_lab.config import flatten
from celeba_lab.console import command_line, display_path, format_override
from celeba_lab.errors import SettingError, UserError, format_value
from celeba_lab.files import naming_file, remove_staged, write_atomically
from celeba_lab.runs.summary import SUMMARY

_KEY = "resume"
# Settings that affect neither the weights nor the metrics of a run, or only how long it trains. A name also stands for
# all settings below it.
_CHANGEABLE = (
    "print_config",
    "score",
    "data.root",
    "data.num_workers",
    "data.store",
    "data.eval_batch_size",
    "data.max_pixels",
    "recipe.max_epochs",
    "trainer.max_epochs",
    "trainer.max_steps",
    "trainer.max_time",
    "trainer.accelerator",
    "trainer.precision",
    "trainer.log_every_n_steps",
    "trainer.limit_test_batches",
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
    "task.report",
    "task.auditor",
    "task.nearest",
)
# Settings that a GAN applies again when training starts.
_CHANGEABLE_FOR_GAN = ("model.lr", "model.discriminator_lr", "model.betas")
_SETTINGS, _OVERRIDES, _HYDRA = "config.yaml", ".hydra/overrides.yaml", ".hydra/hydra.yaml"


def resume_command(folder: Path) -> str:
    """Return the command that resumes the run in a folder."""
    return command_line([format_override(_KEY, display_path(folder))])


def find_resumable(path: str) -> str | None:
    """Return the command that resumes the run in a folder, or None if its settings have not been written yet."""
    folder = Path(path)
    return resume_command(folder) if all((folder / file).is_file() for file in (_SETTINGS, _OVERRIDES)) else None


def expand_arguments(arguments: list[str]) -> list[str]:
    """Replace ``resume=FOLDER`` by arguments that make Hydra compose the settings of the run in this folder again.

    Args:
        arguments: Command-line arguments.

    Returns:
        The arguments, or the overrides of the run followed by those in ``arguments``.

    Raises:
        UserError: The folder does not contain a run that can be resumed.
    """
    given = [text for text in arguments if text.startswith(f"{_KEY}=")]
    if not given:
        return arguments
    others = [text for text in arguments if text not in given]
    if {"-m", "--multirun"} & set(others):
        raise UserError("-m cannot be combined with resume. Resume the runs of a sweep one by one.")
    folder = _read_folder(given[-1])
    own = [text for text in others if text.startswith("hydra.") or text.startswith("-") or "=" not in text.lstrip("~+")]
    overrides = merge_overrides(_read_overrides(folder), [text for text in others if text not in own])
    # Without a subfolder, Hydra does not overwrite the settings of the run before the new overrides have been checked.
    hydra = [format_override("hydra.run.dir", folder), "hydra.output_subdir=null", format_override(_KEY, folder)]
    return [*_config_sources(folder, own), *own, *overrides, *hydra]


def _read_folder(override: str) -> Path:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    [parsed] = OverridesParser.create().parse_overrides([override])
    value = str(parsed.value())
    folder = Path(value).expanduser()
    name = format_override(_KEY, value)
    if not folder.is_dir():
        inside = next((parent for parent in folder.parents if (parent / _SETTINGS).is_file()), None)
        hint = f" Specify the run folder: {format_override(_KEY, inside)}" if inside else " Check the path."
        raise UserError(f"{name} is not a folder.{hint}")
    if (folder / "multirun.yaml").is_file():
        raise UserError(f"{name} is the folder of a sweep. Resume its runs one by one.")
    for file in (_SETTINGS, _OVERRIDES):
        if not (folder / file).is_file():
            raise UserError(
                f"{name} cannot be resumed, because the folder does not contain {file}. A run that was stopped in its"
                " first seconds has nothing to resume: delete its folder and start a new run."
            )
    _check_files(folder)
    return folder.resolve()


def _check_files(folder: Path) -> None:
    """Check that a run folder contains only files and folders of its own.

    Through a link, a resumed run would change other files. Links within the folder, as Lightning's ``save_last=link``
    creates them, are harmless.
    """
    for path in sorted(folder.rglob("*")):
        is_usable = path.is_file() or path.is_dir()
        if is_usable and (not path.is_symlink() or path.resolve().is_relative_to(folder.resolve())):
            continue
        problem = "is a link out of the folder" if is_usable else "is neither a file nor a folder"
        raise UserError(
            f"{format_override(_KEY, folder)} cannot be resumed, because {path.relative_to(folder)} in it {problem}."
            " Delete it, or replace it by the file or folder that you need."
        )


def _read_overrides(folder: Path) -> list[str]:
    """Return the overrides of a run, without those of an earlier resumption."""
    with naming_file(folder / _OVERRIDES):
        stored = OmegaConf.to_object(OmegaConf.load(folder / _OVERRIDES))
    if not isinstance(stored, list) or not all(isinstance(text, str) for text in stored):
        raise UserError(f"{display_path(folder / _OVERRIDES)} is damaged: it is not a list of overrides.")
    # Hydra itself stores only overrides of the task. An option such as --experimental-rerun would load a pickle.
    for text in stored:
        if text.startswith("-") or _key_of(text).partition(".")[0].partition("/")[0] == "hydra":
            raise UserError(f"{display_path(folder / _OVERRIDES)} contains {text}, which is not a setting of a run.")
    return [text for text in stored if not text.startswith(f"{_KEY}=")]


def _config_sources(folder: Path, own: Iterable[str]) -> list[str]:
    """Return the options ``--config-dir`` and ``--config-name`` of a run, unless new ones were given."""
    path = folder / _HYDRA
    if not path.is_file() or any(text.startswith(("-c", "--config")) for text in own):
        return []
    with naming_file(path):
        stored = OmegaConf.load(path)
        name = OmegaConf.select(stored, "hydra.job.config_name", default="config")
        sources: Any = OmegaConf.to_object(OmegaConf.select(stored, "hydra.runtime.config_sources", default=[]))
    options = [] if name == "config" else ["--config-name", str(name)]
    given = [source["path"] for source in sources if source["provider"] == "command-line"]
    return [*options, *(["--config-dir", given[0]] if given else [])]


def merge_overrides(earlier: Iterable[str], later: Iterable[str]) -> list[str]:
    """Return both lists of overrides as one in which each setting occurs once, because Hydra rejects repeated groups.

    Example:
        >>> merge_overrides(["trainer=cpu", "seed=1", "+x=1"], ["seed=2", "x=2"])
        ['trainer=cpu', 'seed=2', '+x=2']
    """
    merged = {_key_of(text): text for text in earlier}
    for text in later:
        key = _key_of(text)
        added = merged.get(key, "").startswith("+")
        if added and text.startswith("~"):
            del merged[key]
        else:
            merged[key] = f"+{text.lstrip('+')}" if added else text
    return list(merged.values())


def _key_of(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]


def restore_settings(cfg: DictConfig) -> bool:
    """Replace a composed configuration by the settings of the resumed run, with the settings that were given now.

    Args:
        cfg: The composed configuration, which is modified in place.

    Returns:
        Whether a setting differs from the run's own settings.

    Raises:
        UserError: A setting cannot be changed when a run is resumed, or ``config.yaml`` is damaged.
    """
    from hydra import compose
    from hydra.core.hydra_config import HydraConfig

    hydra = HydraConfig.get()
    folder = Path(str(cfg.resume))
    if folder != Path(hydra.runtime.output_dir):
        raise UserError(f"Give {format_override(_KEY, cfg.resume)} on the command line, without other characters.")
    with naming_file(folder / _SETTINGS):
        stored = OmegaConf.load(folder / _SETTINGS)
    if not isinstance(stored, DictConfig):
        raise UserError(f"{display_path(folder / _SETTINGS)} is damaged: it does not contain settings.")
    own = compose(str(hydra.job.config_name), [*_read_overrides(folder), format_override(_KEY, folder)])
    before = _leaves(own)
    for key in before:  # Settings that are missing, because another version of celeba_lab wrote the file.
        if not key.startswith("data.otherwise") and OmegaConf.select(stored, key, default=before) is before:
            OmegaConf.update(stored, key, OmegaConf.select(own, key), force_add=True)
    after = _leaves(cfg)
    changed = [key for key in before.keys() | after.keys() if before.get(key) != after.get(key)]
    changed.sort(key=lambda key: (key.count("."), key))  # A change of seed also changes data.seed.
    check_changes({key: after.get(key) for key in changed}, before)
    # The run folder may have been moved since the settings were written.
    inside = [key for key, value in before.items() if isinstance(value, str) and value.startswith(str(folder))]
    for key in {*inside, *changed}:
        if key in after:
            OmegaConf.update(stored, key, OmegaConf.select(cfg, key), force_add=True)
        else:
            _delete(stored, key)
    with open_dict(cfg):
        for key in map(str, list(cfg)):
            if key != _KEY and key in stored:
                is_typed = (
                    isinstance(cfg[key], DictConfig) and OmegaConf.get_type(cfg, key) is not dict
                )  # in the schema
                cfg[key] = OmegaConf.merge(cfg[key], stored[key]) if is_typed else stored[key]
    return bool(changed)


def check_changes(changed: Mapping[str, Any], before: Mapping[str, Any]) -> None:
    """Check that only settings are changed that can be changed when a run is resumed.

    Args:
        changed: New values by dotted key.
        before: Values of the run by dotted key.

    Raises:
        SettingError: A setting cannot be changed.
    """
    is_gan = str(before.get("model._target_")).endswith(".GAN")
    changeable = _CHANGEABLE + (_CHANGEABLE_FOR_GAN if is_gan else ())
    for key, value in changed.items():
        if not any(key == name or key.startswith(f"{name}.") for name in changeable):
            used = f"the run uses {format_value(before[key])}" if key in before else "the run does not use it"
            rule = f"cannot be changed when a run is resumed ({used})"
            raise SettingError(key, value, rule, "Start a new run with this setting.", is_absolute=True)


def _leaves(cfg: DictConfig) -> dict[str, Any]:
    content = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(content, dict)
    leaves: dict[str, Any] = {}
    for key, value in content.items():
        leaves |= flatten(value, str(key)) if isinstance(value, dict) else {str(key): value}
    return leaves


def _delete(cfg: DictConfig, key: str) -> None:
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(cfg, parent) if parent else cfg
    if isinstance(node, DictConfig) and name in node:
        del node[name]
        if not node and parent:
            _delete(cfg, parent)


def is_finished(cfg: DictConfig) -> bool:
    """Return whether a resumed run has already written its summary."""
    return (Path(str(cfg.resume)) / SUMMARY).is_file()


def record_resumption(cfg: DictConfig) -> None:
    """Store the overrides that were given now, and remove the summary and temporary files of the earlier process."""
    from hydra.core.hydra_config import HydraConfig

    folder = Path(str(cfg.resume))
    kept = [text for text in HydraConfig.get().overrides.task if not text.startswith(f"{_KEY}=")]
    text = OmegaConf.to_yaml(OmegaConf.create(kept)) if kept else "[]\n"
    write_atomically(folder / _OVERRIDES, lambda file: file.write(text.encode()))
    (folder / SUMMARY).unlink(missing_ok=True)
    remove_staged(folder)
