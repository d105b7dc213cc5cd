"""Folders of jobs have short, safe and unique names, whatever a sweep varies."""

import re

import pytest

from celeba_lab.cli.job_names import key_of, name_job, pick_varied

VALUES = [
    "0.001", "-1", "[Smiling,Male]", "{a:1,b:2}", "/data/celeba", "..", "", "'a=b'", '"x y"', "süß", "名前", "a" * 500,
    "\x1b[31m", "~", "$(rm)", "con", ".",
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES)
def test_a_name_is_short_and_contains_only_safe_characters(value: str) -> None:
    name = name_job(7, {"model.lr": value, "callbacks/x@y": value, "+extra": value})
    assert re.fullmatch(r"7_lr-[A-Za-z0-9._+-]+", name)
    assert len(name) <= 100
    assert not name.endswith(("-", ".", "_"))


def test_many_settings_do_not_make_a_name_too_long() -> None:
    assert len(name_job(3, {f"model.setting_{number}": "value" for number in range(50)})) <= 100


def test_settings_with_the_same_last_part_are_distinguished() -> None:
    varied = {"callbacks.best.mode": "min", "callbacks.other.mode": "max", "seed": "1", "data.seed": "2"}
    assert name_job(0, varied) == "0_best.mode-min_other.mode-max_seed-1_data.seed-2"


def test_only_the_settings_that_vary_are_in_a_name() -> None:
    overrides = ["experiment=smile", "+trainer.x=1", "seed=3", "~callbacks.ema=null"]
    assert pick_varied(overrides, ["seed", "trainer.x", "model.lr"]) == {"seed": "3", "trainer.x": "1"}
    assert [key_of(text) for text in overrides] == ["experiment", "trainer.x", "seed", "callbacks.ema"]
