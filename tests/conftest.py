"""Shared fixtures: a tiny CelebA, the command line, composed configurations and finished runs."""

import gc
import os

# Searching for garbage among the many objects of the libraries takes a tenth of the time of the tests.
gc.set_threshold(400_000, 20, 20)

# The networks in the tests are too small to benefit from a second thread. PyTorch reads this variable on import.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Runs remember in the cache folder which precision is faster. The tests neither read nor change that of the user, but
# share one of their own, also with processes that they start. Other libraries keep their usual folders.
if "PYTEST_XDIST_WORKER" not in os.environ:
    import atexit
    import shutil
    import tempfile
    from pathlib import Path

    usual = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    for variable, folder in (("TORCH_HOME", "torch"), ("MPLCONFIGDIR", "matplotlib")):
        os.environ.setdefault(variable, str(usual / folder))
    os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="celeba_lab_cache_")
    atexit.register(shutil.rmtree, os.environ["XDG_CACHE_HOME"], ignore_errors=True)

import gzip
import io
import json
import pickle
import re
import shutil
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from filelock import FileLock
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra._internal import config_loader_impl, defaults_list
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository, IConfigRepository
from hydra.core.config_store import ConfigStore
from hydra.core.default_element import InputDefault, ResultDefault
from hydra.core.override_parser.types import Override
from matplotlib.backends.backend_agg import FigureCanvasAgg
from omegaconf import DictConfig, OmegaConf
from PIL import Image, ImageDraw

from celeba_lab.cli.main import main
from celeba_lab.cli.parsed_files import parsing_files_once
from celeba_lab.config import register_schema
from celeba_lab.console import Progress, console
from celeba_lab.data.attributes import ATTRIBUTES
from celeba_lab.files import config_directory
from celeba_lab.models.classifier.backbones import _REGISTERED, Backbone
from celeba_lab.runs import drawing
from celeba_lab.runs.finished import FinishedRun, read_runs
from celeba_lab.runs.summary import Summary

SMILING = ATTRIBUTES.index("Smiling")


_MODULES = 300
_frozen_modules = 0


def _freeze() -> None:
    """Search for garbage only among the objects that are created from now on."""
    global _frozen_modules
    gc.collect()
    gc.freeze()
    _frozen_modules = len(sys.modules)


def pytest_collection_finish() -> None:
    _freeze()


def pytest_runtest_logfinish() -> None:
    if len(sys.modules) > _frozen_modules + _MODULES:  # A test has imported other libraries.
        _freeze()


def pytest_unconfigure() -> None:
    gc.unfreeze()  # Otherwise, some libraries report leaks when the process ends.


# Folders of the attribute table, the partition table and the images in each layout.
FOLDERS = {
    "kaggle": ("", "", "img_align_celeba/img_align_celeba"),
    "official": ("Anno", "Eval", "Img/img_align_celeba"),
    "official_flat": ("", "", "img_align_celeba"),
    "torchvision": ("celeba", "celeba", "celeba/img_align_celeba"),
}


def draw_face(index: int, smiling: bool) -> Image.Image:
    """Return a face of 89 x 109 pixels in random colours. A smiling face has a bright, curved mouth."""
    rng = np.random.default_rng(index)
    image = Image.new("RGB", (89, 109), tuple(rng.integers(20, 200, 3).tolist()))
    draw = ImageDraw.Draw(image)
    dx, dy = rng.integers(-4, 5, 2).tolist()
    draw.ellipse((18 + dx, 20 + dy, 72 + dx, 96 + dy), fill=tuple(rng.integers(120, 210, 3).tolist()))
    for x in (34, 56):
        draw.ellipse((x - 4 + dx, 46 + dy, x + 4 + dx, 52 + dy), fill=(20, 20, 20))
    if smiling:
        draw.chord((30 + dx, 58 + dy, 60 + dx, 86 + dy), 0, 180, fill=(255, 255, 255))
    else:
        draw.line((34 + dx, 76 + dy, 56 + dx, 76 + dy), fill=(60, 20, 20), width=3)
    return image


@lru_cache
def face_jpegs(n: int) -> tuple[bytes, ...]:
    """Return the content of ``n`` JPEG files. Every second face smiles."""
    contents = []
    for index in range(n):
        stream = io.BytesIO()
        draw_face(index, smiling=index % 2 == 1).save(stream, "JPEG", quality=90)
        contents.append(stream.getvalue())
    return tuple(contents)


def tiny_partition(n: int) -> np.ndarray:
    """Return the partition of each image: two thirds train (0), then a sixth val (1) and a sixth test (2)."""
    return np.repeat([0, 1, 2], [n - 2 * (n // 6), n // 6, n // 6])


def tiny_labels(n: int) -> np.ndarray:
    """Return random binary labels, int64 (n, 40). Every second face smiles, and each split has both classes."""
    labels = np.random.default_rng(7).integers(0, 2, (n, len(ATTRIBUTES)))
    for part in range(3):
        rows = np.flatnonzero(tiny_partition(n) == part)
        if len(rows) >= 2:
            labels[rows[0]], labels[rows[1]] = np.arange(40) % 2, 1 - np.arange(40) % 2
    labels[:, SMILING] = np.arange(n) % 2
    return labels


def write_table(path: Path, text: str, compress: str | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if compress == "gz":
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(text.encode()))
    elif compress == "zip":
        with zipfile.ZipFile(path.with_suffix(".zip"), "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(path.name, text)
    else:
        path.write_bytes(text.encode())


def _write_celeba(
    root: Path,
    layout: str = "kaggle",
    compress: str | None = None,
    labels: str = "-1/1",
    n: int = 48,
    images: bool = True,
    partition: np.ndarray | None = None,
) -> Path:
    ids = [f"{i + 1:06d}.jpg" for i in range(n)]
    values = tiny_labels(n) if labels == "0/1" else 2 * tiny_labels(n) - 1
    parts = tiny_partition(n) if partition is None else partition
    attr_folder, eval_folder, image_folder = (root / folder for folder in FOLDERS[layout])
    if layout == "kaggle":
        rows = [f"{name},{','.join(map(str, row))}" for name, row in zip(ids, values, strict=True)]
        attr = "\n".join([f"image_id,{','.join(ATTRIBUTES)}", *rows]) + "\n"
        evaluation = "\n".join(["image_id,partition", *(f"{i},{p}" for i, p in zip(ids, parts, strict=True))]) + "\n"
        suffix = ".csv"
    else:  # Official files: row count, CRLF, padding with spaces, unnamed id column, partition without header.
        rows = [f"{name} {' '.join(f'{v:2d}' for v in row)}" for name, row in zip(ids, values, strict=True)]
        attr = "\r\n".join([str(n), " ".join(ATTRIBUTES) + " ", *rows]) + "\r\n"
        evaluation = "".join(f"{i} {p}\n" for i, p in zip(ids, parts, strict=True))
        suffix = ".txt"
    write_table(attr_folder / f"list_attr_celeba{suffix}", attr, compress)
    write_table(eval_folder / f"list_eval_partition{suffix}", evaluation, compress)
    if images:
        image_folder.mkdir(parents=True, exist_ok=True)
        for name, content in zip(ids, face_jpegs(n), strict=True):
            (image_folder / name).write_bytes(content)
    return root


@pytest.fixture(scope="session")
def write_celeba() -> Callable[..., Path]:
    """``write_celeba(root, layout, compress, labels, n, images, partition)`` writes a tiny CelebA and returns root."""
    return _write_celeba


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], None]], Path]:
    """``made_once(name, make)`` returns a folder that parallel test processes share and ``make(folder)`` fills once."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def folder_of(name: str, make: Callable[[Path], None]) -> Path:
        folder, done = base / f"{name}_made_once", base / f"{name}.done"
        with FileLock(base / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                done.touch()
        return folder

    return folder_of


@pytest.fixture(scope="session")
def tiny_celeba(made_once: Callable[..., Path]) -> Path:
    """48 faces in the Kaggle layout: 32 train, 8 val, 8 test. All tests share the folder and must not change it."""
    return made_once("tiny_celeba", _write_celeba)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder outside the project that contains real data."""
    default = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("CELEBA_LAB_SHARED", default))
    if not (folder / "celeba").is_dir():
        pytest.skip(f"no real CelebA in {folder} (set CELEBA_LAB_SHARED)")
    return folder


Completed = subprocess.CompletedProcess[str]


def _run(arguments: Sequence[str], cwd: Path, width: int | None = None) -> Completed:
    """Run the command line in this process, capture its output and restore all warning filters."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.chdir(cwd)
        patch.setattr("sys.argv", ["celeba_lab", *arguments])
        patch.setattr("sys.stdout", out)
        patch.setattr("sys.stderr", err)
        if width is not None:
            patch.setattr(console, "_width", width)
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
    return subprocess.CompletedProcess(["celeba_lab", *arguments], code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def run_command() -> Callable[..., Completed]:
    """``run_command("experiment=smile", ..., cwd=folder)`` runs the command line in this process.

    Like the result of ``subprocess.run``, its result has the attributes ``returncode``, ``stdout`` (140 columns wide)
    and ``stderr``.
    """
    return lambda *arguments, cwd: _run(arguments, cwd, width=140)


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., tuple[int, str, str]]:
    """``command("experiment=smile", ...)`` runs in ``tmp_path`` and returns the exit code, stdout and stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        result = _run(arguments, tmp_path)
        return result.returncode, result.stdout, result.stderr

    return run


@pytest.fixture
def blank_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Save a white square instead of every figure, for tests that do not check the figures.

    Drawing the figures takes half the time of a small run.
    """

    def save(canvas: FigureCanvasAgg, file: Any, **options: Any) -> None:
        Image.new("RGB", (8, 8), "white").save(file, "PNG")

    monkeypatch.setattr(FigureCanvasAgg, "print_png", save)


@pytest.fixture
def work_shown(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Descriptions of all work whose progress was shown, each mapped to its final count, such as ``3/3 runs``."""
    shown: dict[str, str] = {}
    leave = Progress.__exit__

    def record(self: Progress, *error: object) -> None:
        shown[self.what] = f"{self._count} {self.unit}".strip()
        leave(self, *error)

    monkeypatch.setattr(Progress, "__exit__", record)
    return shown


@pytest.fixture(scope="session")
def run_process() -> Callable[..., Completed]:
    """``run_process("experiment=smile", ..., cwd=folder)`` works like ``run_command``, but starts a new process.

    Starting a process takes several seconds, so use this fixture only if the test needs a separate process.
    """

    def run(*arguments: str, cwd: Path, timeout: float = 300) -> Completed:
        return subprocess.run(
            [sys.executable, "-m", "celeba_lab", *arguments],
            cwd=cwd,
            env=os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "140"},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def compose() -> Callable[..., DictConfig]:
    """``compose("experiment=smile", ...)`` returns the configuration that the command line would compose."""

    def composed(*overrides: str) -> DictConfig:
        register_schema()
        with initialize_config_dir(str(config_directory()), version_base="1.3"):
            return hydra_compose("config", list(overrides))

    return composed


def _keys_of(node: object, prefix: str = "") -> Iterator[str]:
    if prefix:
        yield prefix
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _keys_of(value, f"{prefix}.{key}" if prefix else str(key))


@pytest.fixture(scope="session")
def settings(compose: Callable[..., DictConfig]) -> set[str]:
    """Dotted names of all settings of all tasks, experiments and loggers."""
    found: set[str] = set()
    for group in ("experiment", "task", "logger"):
        for path in (config_directory() / group).glob("*.yaml"):
            found |= set(_keys_of(OmegaConf.to_container(compose(f"{group}={path.stem}"))))
    pieces = ",".join(sorted(path.stem for path in (config_directory() / "callbacks").glob("*.yaml")))
    found |= set(_keys_of(OmegaConf.to_container(compose(f"callbacks=[{pieces}]", "profiler=simple"))))
    return found


@pytest.fixture(scope="session")
def find_unknown_settings(settings: set[str]) -> Callable[[str], set[str]]:
    """``find_unknown_settings(text)`` returns the settings and choices in a text that do not exist.

    A setting has a dotted name that starts with a root key, such as ``model.lr``. A choice is written ``task=train``.
    The name of an argument, such as ``width=8``, is not a setting, unless it is next to a setting or a choice. Names in
    capitals and the character U+FFFD stand for any value.
    """
    files = [path.relative_to(config_directory()) for path in config_directory().glob("*/**/*.yaml")]
    choices = {f"{folder}={path.relative_to(folder).with_suffix('')}" for path in files for folder in path.parents[:-1]}
    groups = {choice.partition("=")[0] for choice in choices}
    roots = {name for name in settings if "." not in name}

    def is_unknown(key: str, value: str | None, in_command: bool) -> bool:
        if "\ufffd" in key or key.startswith(("hydra.", "hydra/")):
            return False
        if key in groups and value is not None and re.fullmatch(r"[a-z0-9_/]+", value):
            return value != "null" and f"{key}={value}" not in choices
        return (in_command or key.partition(".")[0] in roots - {key}) and key not in settings | groups

    def find(text: str) -> set[str]:
        unknown: set[str] = set()
        override = r"(?<![\w.~/:])([a-z\ufffd][\w./\ufffd]*)=([\w./\ufffd-]*)"
        for command in re.finditer(rf"{override}(?: {override})*", text):
            found = re.findall(override, command[0])
            is_command = len(found) > 1
            named = [(key, value.rstrip(".")) for key, value in found]
            unknown |= {f"{key}={value}" for key, value in named if is_unknown(key, value, is_command)}
        for key in re.findall(r"(?<![\w.~/:])([a-z]+(?:\.[a-z][a-z_0-9]*)+)(?![\w(=\ufffd]| = |\.[\w\ufffd])", text):
            if is_unknown(key, None, False):
                unknown.add(key)
        return unknown

    return find


@pytest.fixture(autouse=True)
def _seed() -> None:
    if torch.cuda.is_initialized():
        torch.manual_seed(0)
    else:  # Otherwise, seeding would also format a stack trace for each kind of GPU, which takes a millisecond.
        torch.default_generator.manual_seed(0)


@pytest.fixture(autouse=True)
def _keep_threads() -> Iterator[None]:
    """Restore the number of threads, which commands that run in this process can change.

    With several threads, all later tests would be slower, and processes that are forked could wait forever.
    """
    number = torch.get_num_threads()
    yield
    if torch.get_num_threads() != number:
        torch.set_num_threads(number)


@pytest.fixture(scope="session", autouse=True)
def _parse_once() -> Iterator[None]:
    """Let Hydra parse each content of a configuration file once. Parsing takes a third of a composition."""
    with parsing_files_once():
        yield


@pytest.fixture(scope="session", autouse=True)
def _merge_files_once() -> Iterator[None]:
    """Let Hydra merge the files of conf/ once for each choice of files, which takes most of a composition.

    Overrides of single settings are applied to a copy each time. What Hydra refuses, and folders of files that a test
    has written, are composed as usual.
    """
    kept: dict[tuple[object, ...], bytes] = {}
    describe = defaults_list._create_interpolation_map
    create, merge = config_loader_impl.create_defaults_list, ConfigLoaderImpl._compose_config_from_defaults_list
    own = str(config_directory())

    def once(make: Callable[[], Any], repo: IConfigRepository, *key: object) -> Any:
        sources = [(source.scheme(), source.path) for source in repo.get_sources()]
        if any(scheme == "file" and path != own for scheme, path in sources):
            return make()
        # Files are read by another function while the settings of Hydra are checked.
        complete = (*key, *sources, ConfigRepository.load_config.__code__, *ConfigStore.instance().repo)
        if complete not in kept:
            kept[complete] = pickle.dumps(make())
        return pickle.loads(kept[complete])

    def create_once(repo: IConfigRepository, config_name: str, overrides_list: list[Override], **named: Any) -> Any:
        chosen: list[Override] = []
        others: list[Override] = []  # They do not affect which files are merged.
        for override in overrides_list:
            if not override.is_sweep_override():
                is_choice = repo.group_exists(override.key_or_group) and not isinstance(override.value(), dict)
                (chosen if is_choice else others).append(override)
        texts = tuple(override.input_line for override in chosen)
        found = once(lambda: create(repo, config_name, chosen, **named), repo, config_name, texts, *named.items())
        found.config_overrides = found.overrides.config_overrides = others
        return found

    def describe_interpolated(overrides: object, listed: list[InputDefault], self_added: bool) -> DictConfig | None:
        """Describe the choices only for interpolations in a defaults list. Hydra always describes them."""
        return describe(overrides, listed, self_added) if "${" in str(listed) else None

    def merge_once(loader: ConfigLoaderImpl, defaults: list[ResultDefault], repo: IConfigRepository) -> DictConfig:
        merged: DictConfig = once(lambda: merge(loader, defaults, repo), repo, str(defaults))
        return merged

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(config_loader_impl, "create_defaults_list", create_once)
        patch.setattr(defaults_list, "_create_interpolation_map", describe_interpolated)
        patch.setattr(ConfigLoaderImpl, "_compose_config_from_defaults_list", merge_once)
        # Each composition would copy all registered settings, although there is only one store, which it only reads.
        patch.setattr(ConfigStore, "__deepcopy__", lambda store, _: store, raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def _measure_backbones_once() -> Iterator[None]:
    """Count the features of each torchvision network once, because many tests build the same ones."""
    measure = Backbone._measure_features
    counted: dict[tuple[object, ...], int] = {}

    def measure_once(backbone: Backbone) -> int:
        key = (backbone.name, backbone.image_size, str(torch.get_default_device()))
        if backbone.name in _REGISTERED:  # Tests register different networks under the same name.
            return measure(backbone)
        if key not in counted:
            counted[key] = measure(backbone)
        return counted[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Backbone, "_measure_features", measure_once)
        yield


@pytest.fixture(scope="session", autouse=True)
def figure_dpi() -> Iterator[int]:
    """Let runs save small figures in this process, and return the resolution without this fixture, in dpi.

    Both take less time: other processes would have to import matplotlib.
    """
    dpi = drawing._DPI
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing, "_DPI", 50)
        patch.setattr(drawing, "usable_cores", lambda: 1)
        yield dpi


class RunWriter:
    """Writes the files of a ``task=train`` run that other tasks read.

    Attributes:
        names: Names of the three attributes.
        image_ids: File names of the 60 images.
        labels: Labels of the images, uint8 (60, 3).
    """

    names = ("Smiling", "Male", "Young")
    image_ids = tuple(f"{k + 1:06d}.jpg" for k in range(60))
    labels = np.random.default_rng(0).integers(0, 2, (60, 3)).astype(np.uint8)

    def probabilities(self, seed: int, wrong: int = 10, labels: np.ndarray | None = None) -> np.ndarray:
        """Return probabilities, float32 (N, K), that misclassify ``wrong`` random images for each attribute."""
        rng = np.random.default_rng(seed)
        predicted = (self.labels if labels is None else labels).astype(bool)
        for k in range(predicted.shape[1]):
            rows = rng.permutation(len(predicted))[:wrong]
            predicted[rows, k] = ~predicted[rows, k]
        sure, unsure = 0.5 + 0.5 * rng.random(predicted.shape), 0.499 * rng.random(predicted.shape)
        return np.where(predicted, sure, unsure).astype(np.float32)

    def write(
        self,
        folder: Path,
        seed: int = 0,
        *,
        split: str = "test",
        names: Sequence[str] = names,
        ids: Sequence[str] = image_ids,
        labels: np.ndarray = labels,
        probabilities: np.ndarray | None = None,
        val_accuracy: float | None = 0.9,
        settings: dict[str, Any] | None = None,
        data: dict[str, Any] | None = None,
        threshold: float = 0.5,
        **summary: Any,
    ) -> Path:
        """Write a finished run to ``folder`` and return the folder. Other keyword arguments become summary fields."""
        labels = labels[:, : len(names)]
        probabilities = self.probabilities(seed, labels=labels) if probabilities is None else probabilities
        accuracy = ((probabilities >= threshold) == labels).mean(axis=0).tolist()
        metrics = {f"{split}/accuracy": float(np.mean(accuracy)), f"{split}/loss": 0.25, f"{split}/f1": float("nan")}
        metrics |= {f"{split}/accuracy/{name}": value for name, value in zip(names, accuracy, strict=True)}
        if val_accuracy is not None:
            metrics |= {"val/accuracy": val_accuracy, "val/loss": 1 - val_accuracy}
        about = {"name": "celeba", "root": str(folder), "images": {"train": 40, "val": 20, split: len(ids)}}
        (folder / "tables").mkdir(parents=True)
        fields: dict[str, Any] = {"experiment": "smile", "task": "train", "seed": seed, "best_epoch": 2}
        fields |= {"data": about | (data or {}), "metrics": metrics, **summary}
        Summary(**fields).write(folder)
        cfg = OmegaConf.create({"seed": seed, "model": {"lr": 1e-3, "threshold": threshold}})
        cfg.merge_with({"logger": {"save_dir": str(folder)}}, settings or {})
        OmegaConf.save(cfg, folder / "config.yaml")
        columns: dict[str, Any] = {"image_id": list(ids)}
        for k, name in enumerate(names):
            columns |= {f"label/{name}": labels[:, k], f"probability/{name}": probabilities[:, k]}
        pd.DataFrame(columns).to_csv(folder / "tables" / f"predictions_{split}.csv", index=False)
        history = {"epoch": [1, 2], "val/loss": [0.5, 0.4], "val/accuracy": [0.8, 0.9], "train/loss": [0.6, 0.3]}
        pd.DataFrame(history).to_csv(folder / "tables" / "history.csv", index=False)
        return folder

    def pair(self, folder: Path, **second: Any) -> list[FinishedRun]:
        """Write the runs a and b to ``folder`` and read them. Keyword arguments are passed to ``write`` for b."""
        self.write(folder / "a", 1)
        self.write(folder / "b", **({"seed": 2} | second))
        return read_runs([folder / "a", folder / "b"], "test")[0]


@pytest.fixture(scope="session")
def run_writer() -> RunWriter:
    """Writer of finished runs with known predictions, without training."""
    return RunWriter()


@pytest.fixture(scope="session")
def read_summary() -> Callable[[Path], dict[str, Any]]:
    """``read_summary(folder)`` reads a run's summary and checks that it has the fields common to all tasks."""

    def read(folder: Path) -> dict[str, Any]:
        content = json.loads((folder / "summary.json").read_text())
        assert list(content) == [field.name for field in fields(Summary)]
        assert all(
            content[name] is not None for name in ("seed", "metrics", "device", "seconds", "versions", "details")
        )
        assert Summary.read(folder).task == content["task"]
        return content

    return read
