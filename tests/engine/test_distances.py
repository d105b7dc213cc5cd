"""Settings of the distances that are measured during GAN training."""

import pytest

from celeba_lab.engine.distances import DistanceSettings
from celeba_lab.errors import SettingError


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"n_images": 2}, r"^n_images=2 must be at least 3\.$"),
        ({"every_n_epochs": 0}, r"^every_n_epochs=0 must be at least 1\.$"),
        ({"splits": ["train"]}, r"^splits=\[train\] must not include train\. The generator is trained on it\.$"),
        ({"splits": ["val", "tst"]}, r"^splits=tst must be one of val, test\. Did you mean 'test'\?$"),
        ({"splits": []}, r"^splits=\[\] must name at least one split\.$"),
    ],
)
def test_invalid_settings_are_rejected(settings: dict, sentence: str) -> None:
    with pytest.raises(SettingError, match=sentence):
        DistanceSettings(**settings)
