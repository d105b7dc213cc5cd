"""A picture, and a reader of the files that W&B stores offline."""

import io
import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image


@pytest.fixture(scope="session")
def png() -> bytes:
    """An encoded picture of 3 x 2 red pixels."""
    stream = io.BytesIO()
    Image.new("RGB", (3, 2), "red").save(stream, format="PNG")
    return stream.getvalue()


def _records(path: Path) -> Iterator[Any]:
    """Yield the records of an offline run. The file has the format of LevelDB's log, in blocks of 32 KiB."""
    from wandb.proto import wandb_internal_pb2

    content, position, parts = path.read_bytes(), 7, b""
    while position + 7 <= len(content):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        _, size, kind = struct.unpack("<IHB", content[position : position + 7])
        parts += content[position + 7 : position + 7 + size]
        position += 7 + size
        if kind in (1, 4):  # a complete record, or the last part of one
            record = wandb_internal_pb2.Record()
            record.ParseFromString(parts)
            parts = b""
            yield record


def _values(items: Any) -> dict[str, Any]:
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}


@pytest.fixture(scope="session")
def read_wandb() -> Callable[[Path], list[SimpleNamespace]]:
    """``read_wandb(run_folder)``: what each process has stored offline, as W&B would receive it."""
    import wandb

    def read(folder: Path) -> list[SimpleNamespace]:
        wandb.teardown()  # Another process writes the files, and ends only now.
        found = []
        for path in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
            run = SimpleNamespace(folder=path.parent / "files", history=[], config={}, summary={}, kinds=set())
            for record in _records(path):
                run.kinds.add(record.WhichOneof("record_type"))
                if record.HasField("history"):
                    run.history.append(_values(record.history.item))
                run.config |= _values(record.config.update)
                run.summary |= _values(record.summary.update)
                if record.HasField("run"):
                    run.run = record.run
                if record.HasField("exit"):
                    run.exit_code = record.exit.exit_code
            found.append(run)
        return found

    return read
