"""Messages of libraries are shown as plain text."""

import logging

import pandas as pd
import pytest

from celeba_lab.cli.quiet import escape_messages, use_python_strings


def test_control_characters_in_messages_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    before = logging.getLogRecordFactory()
    escape_messages()
    try:
        handler = logging.StreamHandler()
        logger = logging.Logger("test")
        logger.addHandler(handler)
        logger.warning("name=%s\nline 2", "a\x1b[31mred\a")
    finally:
        logging.setLogRecordFactory(before)
    assert capsys.readouterr().err == "name=a\\x1b[31mred\\x07\nline 2\n"


def test_names_that_are_not_utf8_can_be_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    with pd.option_context("mode.string_storage", "auto"):
        use_python_strings()
        assert pd.DataFrame({"name": ["\udcff.jpg"]})["name"][0] == "\udcff.jpg"
