"""The help page describes every choice, fits the terminal and is shown quickly."""

import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from celeba_lab.cli.help import help_text

Command = Callable[..., tuple[int, str, str]]


def test_the_first_comment_of_every_choice_is_its_description(own_conf: Path) -> None:
    (own_conf / "experiment" / "beard.yaml").write_text("# @package _global_\n# Classify beards\nname: beard\n")
    page = help_text()
    assert re.search(r"beard +Classify beards", page)
    for group in ("experiment", "task", "recipe", "loss", "trainer", "data", "model", "search"):
        section = page.partition(f"({group}=NAME):\n")[2].partition("\n\n")[0]
        paths = [*own_conf.glob(f"{group}/*.yaml"), *own_conf.glob(f"{group}/gan/*.yaml")]
        for name in (str(path.relative_to(own_conf / group).with_suffix("")) for path in paths):
            assert re.search(rf"^  {name}  +\w.{{9}}", section, flags=re.MULTILINE), (
                f"{group}={name} has no description"
            )


def test_gan_losses_and_recipes_are_listed_after_those_of_classifiers() -> None:
    names = re.findall(r"^  (\S+)  ", help_text(), flags=re.MULTILINE)
    for own, others in (("gan/default", "strong"), ("gan/hinge", "weighted_bce")):
        assert names.index(own) == names.index(others) + 1


def test_base_files_are_not_listed_as_choices() -> None:
    assert "no_model" not in help_text()


@pytest.mark.parametrize("columns", [80, 200])
def test_the_help_page_fits_the_terminal_width(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert max(map(len, help_text().splitlines())) <= columns


def test_the_help_page_is_shown_without_arguments(command: Command) -> None:
    code, out, _ = command()
    assert (code, out) == (0, command("-h")[1])
    assert out == command("--help")[1]


def test_help_does_not_import_slow_modules() -> None:
    code = (
        "import sys; sys.argv = ['celeba_lab', '--help']\n"
        "from celeba_lab.cli.main import main; main()\n"
        "slow = {'torch', 'lightning', 'sklearn', 'pandas', 'numpy', 'hydra', 'omegaconf', 'matplotlib', 'rich'}\n"
        "assert not slow & set(sys.modules), slow & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)


def test_help_takes_at_most_one_and_a_half_times_the_import_of_hydra() -> None:
    def seconds(*command: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, *command], check=True, capture_output=True, timeout=60)
        return time.perf_counter() - start

    pairs = [(seconds("-m", "celeba_lab", "--help"), seconds("-c", "import hydra")) for _ in range(4)]
    assert min(ours for ours, _ in pairs) < 1.5 * min(hydra for _, hydra in pairs)
