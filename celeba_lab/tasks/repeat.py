"""Run a finished run again. The command line replaces this task by the task of that run before it starts."""

from omegaconf import DictConfig

from celeba_lab.errors import SettingError


def repeat(cfg: DictConfig, run: str) -> dict[str, float]:
    """Refuse a folder that was not given on the command line, where it selects all other settings.

    Args:
        cfg: Configuration of the run.
        run: Folder of a finished run.

    Raises:
        SettingError: Always.
    """
    raise SettingError("run", run, "must be given on the command line, because the folder selects all other settings")
