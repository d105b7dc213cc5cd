"""Every section measures its candidates with commands that exist."""

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from omegaconf import DictConfig

from celeba_lab.benchmarks.children import Finished, Sample
from celeba_lab.benchmarks.repeats import NotMeasuredError
from celeba_lab.benchmarks.sections import MEASURES, measure_section, summarize_memory

CANDIDATES = {
    "input": {"packed", "memory", "jpeg", "reference", "torchvision"},
    "packing": {"celeba_lab"},
    "smile": {"celeba_lab", "bare", "reference"},
    "attributes": {"celeba_lab", "bare", "reference"},
    "gan": {"celeba_lab", "bare", "reference"},
    "inference": {"predict", "evaluate", "bare", "reference"},
    "analyses": {"celeba_lab", "reference"},
    "startup": {"import_hydra", "help", "first_step"},
    "memory": {"0_workers", "2_workers"},
    "growth": {"40", "60"},
    "processes": {"1_process", "2_processes"},
    "neighbours": {"alone", "two_runs", "beside_busy_process", "beside_training"},
}


@pytest.mark.parametrize("section", MEASURES)
def test_every_section_measures_its_candidates_with_commands_that_exist(
    section: str, build_place: Callable, recorded: list[list[str]], compose: Callable[..., DictConfig]
) -> None:
    results = MEASURES[section](build_place(image_size=32, initial_weights=None, backbone="resnet18"))
    assert {result.section for result in results} == {section}
    assert {result.candidate for result in results} == CANDIDATES[section]
    assert not [result.note for result in results if result.note]
    assert all(len(result.values) == 2 for result in results)
    assert recorded or section == "input"
    # Commands that differ only in their folders and numbers are valid together.
    unique = {
        re.sub(r"\d+", "1", " ".join(text for text in command if "/" not in text)): command for command in recorded
    }
    for command in unique.values():
        compose(*(text for text in command if not text.startswith("hydra.")))


def find(results, measurement: str, candidate: str) -> float:
    [value] = [each.median for each in results if (each.measurement, each.candidate) == (measurement, candidate)]
    return value


def test_rates_are_computed_from_the_clock_and_from_the_summary(build_place: Callable, recorded: list) -> None:
    results = MEASURES["smile"](build_place())
    assert find(results, "step", "celeba_lab") == 120  # 60 images in half a second
    assert find(results, "epoch", "celeba_lab") == 1
    assert find(results, "step", "bare") == find(results, "step", "reference") == 50
    results = MEASURES["inference"](build_place(inference_images=80))
    assert find(results, "mirrored", "predict") == 40
    assert find(results, "mirrored", "evaluate") == 20
    assert find(results, "command", "evaluate") == 3
    assert find(MEASURES["neighbours"](build_place()), "step", "two_runs") == 240
    assert find(MEASURES["growth"](build_place()), "image", "60") == 1000 / 80
    assert find(MEASURES["startup"](build_place()), "time", "first_step") == 4
    assert find(MEASURES["packing"](build_place()), "pack", "celeba_lab") == 2000


@pytest.mark.parametrize(("overrides", "expected"), [((), "32-true"), (("trainer.precision=16-mixed",), "16-mixed")])
def test_the_bare_network_evaluates_in_the_precision_of_the_tasks(
    build_place: Callable, recorded, overrides: tuple[str, ...], expected: str
) -> None:
    recorded.precision = "bf16-mixed"
    MEASURES["inference"](build_place(overrides))
    assert {given["precision"] for name, given in recorded.work if name == "bare_inference"} == {expected}


def test_memory_is_summarised_at_the_start_and_the_end_of_training() -> None:
    samples = [Sample(float(t), 10**9 * (1 + (t >= 10))) for t in range(19)]
    process = Finished(0.0, 30.0, "", [*samples, Sample(25.0, 3 * 10**9)])
    training = SimpleNamespace(clock={"first_step": 2.0, "end": 18.0}, process=process)
    assert summarize_memory(training) == {"start": 1000, "end": 2000, "largest": 3000}
    process.memory = samples[:4]
    with pytest.raises(NotMeasuredError, match="was not read often enough"):
        summarize_memory(training)


def test_two_processes_on_a_gpu_use_two_gpus(build_place: Callable, recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("celeba_lab.benchmarks.sections._device", lambda place, experiment: "cuda:0")
    MEASURES["processes"](build_place(["trainer=gpu"], repeats=1))
    assert [command.count("trainer.accelerator=cpu") for command in recorded] == [0, 0]
    assert all({"trainer=gpu", "trainer.strategy=ddp"} <= set(command) for command in recorded)


def test_torchvision_reads_a_folder_of_its_own(build_place: Callable, recorded: list, tmp_path: Path) -> None:
    MEASURES["input"](build_place(repeats=1))
    assert (tmp_path / "place_0/torchvision_100/celeba/list_bbox_celeba.txt").is_file()


def test_a_section_that_cannot_start_says_why(build_place: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise NotMeasuredError("The disk is full.")

    place = build_place()
    monkeypatch.setattr(place, "latest", fail)
    [result] = measure_section("inference", place)
    assert (result.section, result.values, result.note) == ("inference", (), "The disk is full.")
