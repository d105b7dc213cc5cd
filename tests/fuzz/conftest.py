"""The number of inputs of each fuzz test, and small valid files to damage. ``make fuzz`` tries many more inputs."""

import io
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from PIL import Image

from celeba_lab.data.attributes import ATTRIBUTES

# Files are made once for all inputs of a test, so the fixtures may have a larger scope than the inputs.
settings.register_profile(
    "fuzz",
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "30")),
    # An input that hangs is an error. The first input of a test includes slow imports.
    deadline=60_000 if "FUZZ_EXAMPLES" in os.environ else None,  # milliseconds
    derandomize="FUZZ_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
    database=None,
)
settings.load_profile("fuzz")


@st.composite
def _damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """Return a file with one to four damages: changed, zeroed, cut, repeated or inserted bytes."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, max(0, len(data) - 1)))
        end = min(len(data), start + draw(st.sampled_from([1, 2, 16, 200, len(data)])))
        match draw(st.sampled_from(["flip", "zero", "cut", "truncate", "repeat", "insert", "replace"])):
            case "flip":
                changed = bytes(byte ^ (1 << draw(st.integers(0, 7))) for byte in data[start : start + 1])
                data = data[:start] + changed + data[start + 1 :]
            case "zero":
                data = data[:start] + bytes(end - start) + data[end:]
            case "cut":
                data = data[:start] + data[end:]
            case "truncate":
                data = data[:start]
            case "repeat":
                data = data[:end] + data[start:end] + data[end:]
            case "insert":
                data = data[:start] + draw(st.binary(max_size=20)) + data[start:]
            case "replace":
                size = min(end - start, 64)
                data = data[:start] + draw(st.binary(min_size=size, max_size=size)) + data[start + size :]
    return data


@pytest.fixture(scope="session")
def damaged():
    """``damaged(data)`` is a strategy for damaged copies of a file."""
    return _damaged


@pytest.fixture(scope="session")
def label_table() -> bytes:
    """A small table of labels in Kaggle's format."""
    labels = np.random.default_rng(1).choice([-1, 1], (12, 40))
    rows = [f"{i:06d}.jpg,{','.join(map(str, row))}" for i, row in enumerate(labels, 1)]
    return "\n".join([f"image_id,{','.join(ATTRIBUTES)}", *rows, ""]).encode()


@pytest.fixture(scope="session")
def pictures() -> dict[str, bytes]:
    """Small images of several kinds."""
    noise = np.random.default_rng(2).integers(0, 256, (24, 20, 4), dtype=np.uint8)
    found = {}
    kinds = {"RGB PNG": "RGB", "RGBA PNG": "RGBA", "grey PNG": "L", "palette PNG": "P"}
    kinds |= {"JPEG": "RGB", "WebP": "RGB", "BMP": "RGB", "GIF": "L", "TIFF": "RGB"}
    for name, mode in kinds.items():
        stream = io.BytesIO()
        Image.fromarray(noise).convert(mode).save(stream, name.split()[-1])
        found[name] = stream.getvalue()
    return found


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """``place.write(name, data)`` writes a file and returns its path."""
    folder = tmp_path_factory.mktemp("fuzz")

    def write(name: str, data: bytes) -> Path:
        path = folder / name
        path.write_bytes(data)
        return path

    return SimpleNamespace(write=write, folder=folder)
