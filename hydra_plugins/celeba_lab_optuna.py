"""Hydra builds only sweepers that are defined in the package ``hydra_plugins``, in which it searches for plugins."""

from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class OptunaSweeper(Sweeper):
    """Search for the settings with the best score, using Optuna; see ``celeba_lab/cli/search.py``.

    Args:
        **settings: The settings in ``conf/hydra/sweeper/optuna.yaml``, which are checked before they get here.
    """

    def __init__(self, **settings: Any) -> None:
        self._settings = settings
        self._config: DictConfig | None = None
        self._context: HydraContext | None = None
        self._launcher: Launcher | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Build the launcher that runs the trials."""
        self._config, self._context = config, hydra_context
        self._launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> list[Any]:
        """Run the search, and return what the launcher has returned for each trial."""
        from celeba_lab.cli.search import run_search

        assert self._config is not None
        assert self._context is not None
        assert self._launcher is not None
        return run_search(self._config, self._context.config_loader, self._launcher, arguments)
