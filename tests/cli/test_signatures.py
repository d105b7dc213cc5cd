"""Signatures read from the source code match those of the imported objects."""

import re
from collections.abc import Callable
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import pytest
from omegaconf import DictConfig, OmegaConf

from celeba_lab.cli.signatures import ancestors_of, complete_signature, read_signature
from celeba_lab.config import check_types, import_signature
from celeba_lab.errors import UserError
from celeba_lab.files import config_directory

Compose = Callable[..., DictConfig]


def targets() -> list[str]:
    """Return every ``_target_`` in conf/ that a run builds."""
    conf = config_directory()
    text = "\n".join(path.read_text() for path in conf.rglob("*.yaml") if path.relative_to(conf).parts[0] != "hydra")
    return sorted(set(re.findall(r"_target_: (\S+)", text)))


def words(hint: Any) -> Any:
    """Return a type hint as text. Union members are sorted, because typing caches the first order that it sees."""
    if get_origin(hint) in (Union, UnionType):
        return sorted(map(str, map(words, get_args(hint))))
    return str(hint)


@pytest.mark.parametrize("target", targets())
def test_the_signature_read_from_the_source_equals_the_imported_one(target: str) -> None:
    read, imported = read_signature(target), import_signature(target)
    assert read is not None
    assert read.is_complete
    assert list(read.hints) == list(imported.hints)
    assert (read.required, read.takes_any) == (imported.required, imported.takes_any)
    assert {name: words(hint) for name, hint in read.hints.items()} == {
        name: words(hint) for name, hint in imported.hints.items()
    }


@pytest.mark.parametrize(
    "target",
    [
        "no_such_package.thing",
        "celeba_lab.models.Nothing",
        "celeba_lab.nowhere.Nothing",
        "math.sqrt",
        "torch.optim.lr_scheduler.LRScheduler.step",
    ],
)
def test_signatures_that_are_not_in_the_source_are_not_read(target: str) -> None:
    assert read_signature(target) is None


SOURCE = """
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Literal, Protocol

import torch as t
from torch import Tensor

if TYPE_CHECKING:
    from fractions import Fraction

Kind = Literal["a", "b"]


class Shape(Protocol):
    sides: int


class Base:
    def __init__(self, kind: Kind, size: "int | None" = None, *, flag: bool, **options: float) -> None: ...


class Inherits(Base):
    pass


@dataclass(frozen=True)
class Settings:
    n: int
    names: list[str] = field(default_factory=list)


def task(cfg: dict, faces: Tensor | str, dtype: t.dtype, shape: Shape, n: int = 1) -> None: ...


@cache
def decorated(n: int) -> int: ...
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package that cannot be imported."""
    folder = tmp_path / "package_of_a_test"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise RuntimeError('imported')\nfrom .inner import Base as Face\n")
    (folder / "inner.py").write_text("raise RuntimeError('imported')\n" + SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "package_of_a_test"


def test_a_class_is_found_through_imports_and_base_classes(package: str) -> None:
    for name in ("Face", "inner.Base", "inner.Inherits"):
        signature = read_signature(f"{package}.{name}")
        assert signature is not None
        assert [words(hint) for hint in signature.hints.values()] == [
            "typing.Literal['a', 'b']",
            ["<class 'NoneType'>", "<class 'int'>"],
            "<class 'bool'>",
        ]
        assert (signature.required, signature.takes_any, signature.is_complete) == (["kind", "flag"], True, True)


def test_the_fields_of_a_dataclass_are_its_arguments(package: str) -> None:
    signature = read_signature(f"{package}.inner.Settings")
    assert signature is not None
    assert (signature.hints, signature.required) == ({"n": int, "names": list[str]}, ["n"])


def test_an_unresolvable_type_hint_makes_the_signature_incomplete(package: str) -> None:
    signature = read_signature(f"{package}.inner.task")
    assert signature is not None
    assert signature.required == ["cfg", "faces", "dtype", "shape"]
    assert not signature.is_complete
    assert (signature.hints["dtype"], signature.hints["shape"], signature.hints["n"]) == (Any, Any, int)
    with pytest.raises(ImportError, match="imported"):
        complete_signature(f"{package}.inner.task")
    assert complete_signature(f"{package}.inner.Settings").hints["n"] is int


def test_the_signature_of_a_decorated_function_is_not_read(package: str) -> None:
    assert read_signature(f"{package}.inner.decorated") is None


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"kind": "a", "flag": True, "size": 1, "more": 1.0}, None),
        ({"kind": "c", "flag": True}, r"^node\.kind='c' has the wrong type: it must be a or b\.$"),
        (
            {"kind": "a", "flag": True, "size": "big"},
            r"^node\.size='big' has the wrong type: it must be an integer or null\.$",
        ),
    ],
)
def test_types_are_checked_without_an_import(package: str, values: dict[str, Any], sentence: str | None) -> None:
    cfg = OmegaConf.create({"node": {"_target_": f"{package}.Face", **values}})
    if sentence is None:
        check_types(cfg, read_signature)
    else:
        with pytest.raises(UserError, match=sentence):
            check_types(cfg, read_signature)


def test_the_base_classes_of_celeba_lab_are_read_from_the_source() -> None:
    data = "celeba_lab.data"
    assert ancestors_of(f"{data}.synthetic.datamodule.SyntheticDataModule") >= {
        f"{data}.synthetic.faces.SyntheticFaces",
        f"{data}.datamodule.CelebADataModule",
        f"{data}.celeba.CelebA",
        f"{data}.position.ResumableData",
    }
    assert ancestors_of(f"{data}.celeba.CelebA") == {f"{data}.celeba.CelebA"}
    assert ancestors_of("celeba_lab.tasks.train.train") == set()
    assert ancestors_of("celeba_lab.nowhere.Nothing") == {"celeba_lab.nowhere.Nothing"}
