"""Read checkpoints, and explain why a checkpoint cannot be used."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any, get_type_hints

import torch

from celeba_lab.config import check_type
from celeba_lab.engine.torch_files import OldFormatError, UnreadableFileError, read_torch_file
from celeba_lab.errors import UserError
from celeba_lab.exports.generator import EXPORT_SUFFIX, check_generator_weights, read_export
from celeba_lab.models.checkpoint_format import FORMAT, KEY, DamagedError, check_content, check_fit
from celeba_lab.models.gan.sampler import FaceSampler
from celeba_lab.runs.checkpoint_files import check_checkpoint_file, checkpoint_error, unreadable_error

if TYPE_CHECKING:
    from celeba_lab.models.classifier.module import AttributeClassifier

_NAMES = {"classifier": "an attribute classifier", "gan": "a GAN"}
_EXPERIMENTS = {"classifier": "attributes", "gan": "gan"}
# Hyperparameters that were renamed after format 0. Checkpoints in format 0 do not contain a version number.
_RENAMED = {"normalise": "normalization"}


def read_checkpoint(
    path: str | None, purpose: str, usual: str = "best.ckpt", setting: str = "checkpoint"
) -> dict[str, Any]:
    """Read a Lightning checkpoint into CPU memory without running any code that it contains.

    Args:
        path: Path to the checkpoint, as given in the setting.
        purpose: Purpose of the checkpoint, such as ``evaluate``. Some error messages begin with "To" and the purpose.
        usual: File name that error messages suggest for this purpose.
        setting: Name of the setting, used in error messages.

    Returns:
        Content of the checkpoint. Hyperparameters that have been renamed appear under their current names.

    Raises:
        UserError: The file is missing, damaged or not a checkpoint, or was written by a newer version of celeba_lab.
    """
    file = check_checkpoint_file(path, purpose, usual, setting)
    path = str(path)
    if file.suffix == EXPORT_SUFFIX:
        hint = f"To {purpose}, specify a checkpoint: outputs/.../checkpoints/{usual}"
        raise checkpoint_error(
            setting, path, "is an exported generator, which can only be used to generate faces", hint
        )
    try:
        content = read_torch_file(file)
    except OldFormatError as error:
        raise checkpoint_error(setting, path, str(error), error.hint) from error
    except UnreadableFileError as error:
        raise unreadable_error(setting, path, str(error)) from error
    if not isinstance(content, dict) or not {"state_dict", "hyper_parameters"} <= set(content):
        hint = "To start from a bare state dict, set model.weights."
        raise checkpoint_error(setting, path, "is not a Lightning checkpoint with hyperparameters", hint)
    try:
        check_content(content)
    except DamagedError as error:
        raise checkpoint_error(setting, path, f"is damaged ({error})", "Use another file.") from error
    version = content.get(KEY, {}).get("format", 0)
    if version > FORMAT:
        rule = f"has checkpoint format {version}, but this version of celeba_lab only supports formats up to {FORMAT}"
        raise checkpoint_error(setting, path, rule, "Update celeba_lab.")
    content["hyper_parameters"] = {_RENAMED.get(k, k): value for k, value in content["hyper_parameters"].items()}
    return content


def check_kind(content: dict[str, Any], kind: str, path: str | None, purpose: str, setting: str = "checkpoint") -> None:
    """Check that a checkpoint contains the required kind of model.

    Args:
        content: Return value of :func:`read_checkpoint`.
        kind: Required kind of model, ``classifier`` or ``gan``.
        path: Path to the checkpoint, used in the error message.
        purpose: Purpose of the checkpoint; see :func:`read_checkpoint`.
        setting: Name of the setting, used in the error message.

    Raises:
        SettingError: The checkpoint contains a different kind of model.
    """
    if _kind_of(content) != kind:
        hint = f"To {purpose}, specify a checkpoint from experiment={_EXPERIMENTS[kind]}."
        raise checkpoint_error(setting, str(path), f"does not contain {_NAMES[kind]}", hint)


def _kind_of(content: dict[str, Any]) -> str | None:
    """Return the kind of model in a checkpoint, or None if the kind is unknown."""
    if KEY in content:
        return str(content[KEY]["kind"])
    # Checkpoints in format 0 do not store the kind of model.
    if "latent_size" in content["hyper_parameters"]:
        return "gan"
    if "attributes" in content["hyper_parameters"] and "head.weight" in content["state_dict"]:
        return "classifier"
    return None


def is_checkpoint(path: Path) -> bool:
    """Return whether a file is a Lightning checkpoint rather than a bare state dict."""
    try:
        content = read_torch_file(path)
    except UnreadableFileError:
        return False
    return isinstance(content, dict) and "hyper_parameters" in content


def load_classifier(path: str | None, purpose: str, setting: str = "checkpoint") -> "AttributeClassifier":
    """Load a classifier from a checkpoint, in evaluation mode and without changing the run's random state.

    Args:
        path: Path to the checkpoint.
        purpose: Purpose of the checkpoint; see :func:`read_checkpoint`.
        setting: Name of the setting that contains the path, used in error messages.

    Raises:
        UserError: The checkpoint cannot be read, or contains a different kind of model.
    """
    content = read_checkpoint(path, purpose, setting=setting)
    check_kind(content, "classifier", path, purpose, setting)
    return restore_classifier(content, str(path), setting)


@contextmanager
def rejecting_unfit(path: str, setting: str = "checkpoint") -> Iterator[None]:
    """Explain any error in this block by the content of a file, from which the block builds a network.

    A file can have valid types but contain the weights of another network, or settings that no network has.

    Args:
        path: Path to the file.
        setting: Name of the setting, used in the error message.

    Raises:
        SettingError: The block raised an exception.
    """
    try:
        yield
    except Exception as error:
        cause = shorten(str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}", 200)
        rule = f"contains weights that do not fit its own settings ({cause.rstrip('.')})"
        raise checkpoint_error(setting, path, rule, "Use another file.") from error


def restore_classifier(content: dict[str, Any], path: str, setting: str = "checkpoint") -> "AttributeClassifier":
    """Build a classifier in evaluation mode from a checkpoint's content, without changing the run's random state.

    Args:
        content: Return value of :func:`read_checkpoint`. Hyperparameters that have been removed from the classifier are
            ignored, and ``compile`` is set to false.
        path: Path to the checkpoint, used in error messages.
        setting: Name of the setting, used in error messages.

    Raises:
        SettingError: The weights do not fit the hyperparameters.
    """
    from celeba_lab.models.classifier.module import AttributeClassifier

    known = get_type_hints(AttributeClassifier.__init__)
    settings = {name: value for name, value in content["hyper_parameters"].items() if name in known}
    with rejecting_unfit(path, setting), torch.random.fork_rng(devices=[]):
        for name, value in settings.items():
            check_type(name, list(value) if isinstance(value, tuple) else value, known[name])
        settings["compile"] = False  # This setting concerns the speed of the run that wrote the file.
        check_fit(lambda: AttributeClassifier(**settings), content["state_dict"])
        model = AttributeClassifier(**settings)
        model.load_state_dict(content["state_dict"])
    return model.eval()


def _read_gan(path: str | None, purpose: str) -> dict[str, Any]:
    content = read_checkpoint(path, purpose, "last.ckpt")
    check_kind(content, "gan", path, purpose)
    return content


def load_generator(path: str | None, purpose: str, generator_weights: str = "ema") -> FaceSampler:
    """Load the generator from a GAN checkpoint, without building the rest of the GAN or importing Lightning.

    Args:
        path: Path to the checkpoint, as given in the setting ``checkpoint``.
        purpose: Purpose of the checkpoint; see :func:`read_checkpoint`.
        generator_weights: ``ema`` for the averaged weights if the checkpoint contains them, or ``raw`` for the last
            weights.

    Raises:
        UserError: The checkpoint cannot be read, or contains a different kind of model.
    """
    content = _read_gan(path, purpose)
    # Initialising the network must not affect the run's random numbers.
    with rejecting_unfit(str(path)), torch.random.fork_rng(devices=[]):
        return FaceSampler.from_checkpoint(content, averaged=generator_weights == "ema")


def load_sampler(path: str | None, generator_weights: str = "ema") -> FaceSampler:
    """Load a generator from a GAN checkpoint or from a file written by ``task=export``.

    Args:
        path: Path to the file, as given in the setting ``checkpoint``.
        generator_weights: ``ema`` for the averaged weights if the file contains them, or ``raw`` for the last weights.

    Raises:
        UserError: The file cannot be read, does not contain a generator, or lacks the requested weights.
    """
    check_generator_weights(generator_weights)
    if path is None or Path(path).suffix != EXPORT_SUFFIX or not Path(path).is_file():
        return load_generator(path, "generate faces", generator_weights)
    return read_export(Path(path), generator_weights)
