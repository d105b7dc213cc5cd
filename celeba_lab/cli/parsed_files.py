"""Parse each configuration file once: Hydra composes several times for a command, and again for each job of a sweep."""

import pickle
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult, ConfigSource

_SCHEMES = ("file", "pkg")
# Pickled results of parsing, because Hydra changes what it gets, and OmegaConf takes longer to copy it.
_PARSED: dict[tuple[object, ...], bytes] = {}


@contextmanager
def parsing_files_once() -> Iterator[None]:
    """Within this block, Hydra parses a configuration file only if this process has not parsed its content before."""
    Plugins.instance()  # Hydra registers its sources while it looks for plugins.
    with ExitStack() as stack:
        for scheme in _SCHEMES:
            stack.enter_context(_parsing_once(SourcesRegistry.instance().resolve(scheme)))
        yield


@contextmanager
def _parsing_once(kind: Any) -> Iterator[None]:
    """Within this block, a source of configuration files keeps the content of the files that it has parsed."""
    parse = kind.load_config

    @wraps(parse)
    def parse_once(source: ConfigSource, config_path: str) -> ConfigResult:
        key = _key_of(source, config_path)
        if key not in _PARSED:
            _PARSED[key] = pickle.dumps(parse(source, config_path))
        result: ConfigResult = pickle.loads(_PARSED[key])
        # Copies of a file share an entry.
        result.provider, result.path = source.provider, f"{source.scheme()}://{source.path}"
        return result

    with patch.object(kind, "load_config", parse_once):
        yield


def _key_of(source: ConfigSource, config_path: str) -> tuple[object, ...]:
    """Return what the parsed content depends on. The files of a package do not change while it is in use."""
    if source.scheme() == "file":
        with suppress(OSError):  # Hydra explains the error.
            return (Path(source.path, source._normalize_file_name(config_path)).read_bytes(),)
    return source.scheme(), source.path, config_path
