"""Small JSON files are read back unchanged, and damaged ones are refused in one sentence."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest

from celeba_lab.errors import UserError
from celeba_lab.runs.record import Record


@dataclass(frozen=True, kw_only=True)
class Note(Record):
    FILE: ClassVar[str] = "note.json"

    version: int = 2
    text: str
    numbers: dict[str, float] = field(default_factory=dict)


def test_a_record_is_read_back(tmp_path: Path) -> None:
    note = Note(text="é", numbers={"a": 0.5})
    note.write(tmp_path)
    assert Note.read(tmp_path) == note
    assert [path.name for path in tmp_path.iterdir()] == ["note.json"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"version": 3}, "it has version 3, but this version of celeba_lab only supports versions up to 2"),
        ({"version": True}, "it has version True"),
        ({"text": 3}, "the field text has the wrong type: 3"),
        ({"numbers": {"a": "b"}}, "the field numbers has the wrong type"),
        ({"text": "a" * 20_000}, "the field text contains a text that is too long"),
        ({"numbers": {"a" * 20_000: 1.0}}, "the field numbers contains a text that is too long"),
        ({"more": 1}, "its fields are not those that celeba_lab writes"),
    ],
)
def test_a_damaged_record_is_refused(tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    content = {"version": 2, "text": "a", "numbers": {}} | change
    (tmp_path / "note.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=sentence):
        Note.read(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"version": 2}', "null"])
def test_a_file_without_a_record_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "note.json").write_text(text)
    with pytest.raises(UserError, match=r"note\.json"):
        Note.read(tmp_path)
