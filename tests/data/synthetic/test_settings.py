"""The settings of synthetic faces are stored next to the faces, and a damaged record is explained."""

import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest

from celeba_lab.data.synthetic.settings import RECORD, Settings, find_settings
from celeba_lab.errors import UserError

GOOD = asdict(Settings(n=100, seed=1))


def test_settings_are_found_in_their_folder(tmp_path: Path) -> None:
    assert find_settings(tmp_path) is None
    (tmp_path / RECORD).write_text(json.dumps(GOOD))
    assert find_settings(tmp_path) == Settings(n=100, seed=1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "[" * 100_000,
        '{"n": 1' + "0" * 5000 + "}",
        json.dumps(GOOD | {"n": 10**30}),
        json.dumps(GOOD | {"seed": 10**30}),
        json.dumps(GOOD | {"n": True}),
        json.dumps(GOOD | {"more": 1}),
        json.dumps(GOOD) + " " * 2**16,
    ],
    ids=lambda text: text[:20] or "empty",
)
def test_a_damaged_record_is_explained(tmp_path: Path, text: str) -> None:
    (tmp_path / RECORD).write_text(text)
    with pytest.raises(UserError, match=rf"^{tmp_path / RECORD} is damaged\. Delete the folder {tmp_path} so that"):
        find_settings(tmp_path)


def test_a_huge_record_is_not_read(tmp_path: Path) -> None:
    (tmp_path / RECORD).touch()
    os.truncate(tmp_path / RECORD, 30 << 30)
    with pytest.raises(UserError, match="is damaged"):
        find_settings(tmp_path)
