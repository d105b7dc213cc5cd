"""The plugins of Hydra that are part of celeba_lab."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher

from celeba_lab.cli.ray_launcher import RayLauncher

OWN_PLUGINS: dict[str, type] = {f"{RayLauncher.__module__}.{RayLauncher.__name__}": Launcher}
"""Kind of each plugin, by the name of its class."""


@contextmanager
def own_plugins() -> Iterator[None]:
    """Within this block, Hydra accepts the plugins of celeba_lab. Otherwise, it accepts only its own packages."""
    is_accepted = Plugins.is_in_toplevel_plugins_module
    Plugins.instance().register(RayLauncher)
    accept = staticmethod(lambda name: name in OWN_PLUGINS or is_accepted(name))
    with patch.object(Plugins, "is_in_toplevel_plugins_module", accept):
        yield
