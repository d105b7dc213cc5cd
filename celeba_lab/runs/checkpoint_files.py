"""Check a checkpoint's path and first bytes. This module does not import torch, so that errors are reported quickly."""

from pathlib import Path

from celeba_lab.errors import SettingError, UserError
from celeba_lab.files import file_fault


def check_checkpoint_file(
    path: str | None, purpose: str, usual: str = "best.ckpt", setting: str = "checkpoint"
) -> Path:
    """Check that a path points to a file with the first bytes of a checkpoint, and return the path.

    Args:
        path: Path to the checkpoint, as given in the setting.
        purpose: Purpose of the checkpoint, such as ``evaluate``. The error for a missing path begins with "To" and the
            purpose.
        usual: File name that error messages suggest for this purpose.
        setting: Name of the setting, used in error messages.

    Raises:
        UserError: The path is None, does not exist or is not a regular file, or the file was not written by torch or
            safetensors.
    """
    if path is None:
        raise UserError(f"To {purpose}, specify a checkpoint: {setting}=outputs/.../checkpoints/{usual}")
    file = Path(path)
    if file.is_dir():
        raise checkpoint_error(
            setting, path, "is a folder", f"Specify a file inside it: {file / 'checkpoints' / usual}"
        )
    if (fault := file_fault(file)) is not None:
        hint = "The checkpoints of a run are in outputs/.../checkpoints/."
        raise checkpoint_error(setting, path, fault, hint)
    with file.open("rb") as opened:
        start = opened.read(2)
    # A ZIP archive, or a pickle from old versions of torch. A safetensors file begins with the length of its header.
    if file.suffix != ".safetensors" and not start.startswith((b"PK", b"\x80")):
        raise unreadable_error(setting, path, f"{file.stat().st_size:,} bytes")
    return file


def unreadable_error(setting: str, path: str, cause: str) -> SettingError:
    """Return an error for a file that is damaged or not a checkpoint."""
    rule = f"could not be read ({cause}), because the file is damaged or not a checkpoint"
    return checkpoint_error(setting, path, rule, "Use another file.")


def checkpoint_error(setting: str, path: str, rule: str, hint: str) -> SettingError:
    """Return an error about a setting. The setting ``checkpoint`` is at the root of the configuration."""
    return SettingError(setting, path, rule, hint, is_absolute=setting == "checkpoint")
