"""Parse each configuration file once: Hydra composes several times for a command, and again for each job of a sweep."""

import pickle
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult, ConfigSource

_SCHEMES = ("file", "pkg")


@contextmanager
def parsing_files_once() -> Iterator[None]:
    """Within this block, Hydra parses a configuration file again only if the file has changed."""
    Plugins.instance()  # Hydra registers its sources while it looks for plugins.
    with ExitStack() as stack:
        for scheme in _SCHEMES:
            stack.enter_context(_parsing_once(SourcesRegistry.instance().resolve(scheme)))
        yield


@contextmanager
def _parsing_once(kind: Any) -> Iterator[None]:
    """Within this block, a source of configuration files keeps the content of the files that it has parsed."""
    parsed: dict[tuple[object, ...], bytes] = {}
    parse = kind.load_config

    @wraps(parse)
    def parse_once(source: ConfigSource, config_path: str) -> ConfigResult:
        key = (source.provider, source.path, config_path, *_state_of(source, config_path))
        if key not in parsed:
            parsed[key] = pickle.dumps(parse(source, config_path))
        result: ConfigResult = pickle.loads(parsed[key])  # Hydra changes it. OmegaConf takes longer to copy it.
        return result

    with patch.object(kind, "load_config", parse_once):
        yield


def _state_of(source: ConfigSource, config_path: str) -> tuple[int, ...]:
    """Return what changes if a file changes. The files of a package do not change while it is in use."""
    if source.scheme() != "file":
        return ()
    try:
        status = Path(source.path, source._normalize_file_name(config_path)).stat()
    except OSError:
        return ()  # Hydra explains the error.
    return status.st_ino, status.st_mtime_ns, status.st_size
