"""``task=repeat`` works only from the command line; tests/cli/test_repeat.py tests what it does."""

import pytest
from omegaconf import OmegaConf

from celeba_lab.errors import SettingError
from celeba_lab.tasks.repeat import repeat


def test_a_folder_in_a_file_is_refused() -> None:
    with pytest.raises(SettingError, match=r"^run=a must be given on the command line, because the folder selects"):
        repeat(OmegaConf.create(), "a")
