"""The precision that is chosen for a device, and what is remembered of a measurement."""

import json

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from celeba_lab.engine import precision
from celeba_lab.engine.precision import choose_precision, given_precision, measure

SECONDS = {"32-true": 0.2, "bf16-mixed": 0.1}


@pytest.fixture
def settings(compose) -> DictConfig:
    """Settings of a small classifier on the CPU."""
    cfg = compose("experiment=smile", "trainer=cpu", "model.backbone=squeezenet1_1", "model.image_size=32")
    cfg.trainer.default_root_dir = None
    OmegaConf.set_struct(cfg, False)
    return cfg


@pytest.fixture
def measured(monkeypatch, tmp_path) -> list[dict[str, float]]:
    """The results of the measurements, which take no time. An empty folder replaces the cache folder of the user."""
    results: list[dict[str, float]] = []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(precision, "measure", lambda build: results.append(SECONDS) or dict(SECONDS))
    return results


def test_the_faster_precision_is_measured_once_and_recorded(recorder, settings, measured, tmp_path, capsys):
    runs = [recorder(), recorder()]
    assert [choose_precision(run, settings) for run in runs] == ["bf16-mixed"] * 2
    assert [run.recorded for run in runs] == [{("recipe", "precision"): "bf16-mixed"}] * 2
    assert len(measured) == 1
    now, before = capsys.readouterr().out.splitlines()
    assert now == "precision: bf16-mixed, which is 2.00 times as fast as 32-true on this processor (measured now)"
    assert before == now.replace("now", "before")
    [path] = (tmp_path / "celeba_lab" / "precision").iterdir()
    content = json.loads(path.read_text())
    assert content["network"] == "squeezenet1_1 32"
    assert (content["torch"], content["threads"]) == (torch.__version__, torch.get_num_threads())


@pytest.mark.parametrize(
    "change", [{"image_size": 48}, {"backbone": "resnet18"}], ids=["another size", "another network"]
)
def test_another_network_is_measured_again(recorder, settings, measured, change):
    choose_precision(recorder(), settings)
    settings.model.update(change)
    choose_precision(recorder(), settings)
    assert len(measured) == 2


@pytest.mark.parametrize(("faster", "expected"), [(1.04, "32-true"), (1.06, "bf16-mixed"), (0.8, "32-true")])
def test_bfloat16_must_be_clearly_faster(recorder, settings, measured, monkeypatch, faster, expected, capsys):
    monkeypatch.setattr(precision, "measure", lambda build: {"32-true": faster, "bf16-mixed": 1.0})
    assert choose_precision(recorder(), settings) == expected
    assert f"{faster:.2f} times as fast" in capsys.readouterr().out


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"seconds": 3}', '{"seconds": {"32-true": 0.1}}', '{"threads": 10000}', "\x00"]
)
def test_a_damaged_measurement_is_repeated(recorder, settings, measured, tmp_path, content):
    choose_precision(recorder(), settings)
    [path] = (tmp_path / "celeba_lab" / "precision").iterdir()
    valid = path.read_text()
    path.write_text(json.dumps(json.loads(valid) | json.loads(content)) if content.startswith('{"') else content)
    assert choose_precision(recorder(), settings) == "bf16-mixed"
    assert len(measured) == 2
    assert path.read_text() == valid


def test_a_cache_folder_that_cannot_be_written_is_not_an_error(recorder, settings, measured, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert choose_precision(recorder(), settings) == choose_precision(recorder(), settings) == "bf16-mixed"
    assert len(measured) == 2


def test_runs_that_start_together_use_the_measurement_that_is_stored_first(recorder, settings, measured, monkeypatch):
    def slow(build) -> dict[str, float]:
        if not measured:  # Another run is faster.
            measured.append(SECONDS)
            choose_precision(recorder(), settings)
        return {"32-true": 0.1, "bf16-mixed": 0.2}

    quick = precision.measure
    monkeypatch.setattr(precision, "measure", lambda build: slow(build) if not measured else quick(build))
    assert choose_precision(recorder(), settings) == "bf16-mixed"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"trainer.precision": "16-mixed"}, "16-mixed"),
        ({"recipe.precision": "bf16-mixed"}, "bf16-mixed"),
        ({"recipe.precision": "bf16-mixed", "trainer.precision": "32-true"}, "32-true"),
    ],
)
def test_a_given_precision_is_used_without_a_measurement(recorder, settings, measured, changes, expected, capsys):
    for name, value in changes.items():
        OmegaConf.update(settings, name, value)
    run = recorder()
    assert choose_precision(run, settings) == given_precision(settings) == expected
    assert (run.recorded, measured, capsys.readouterr().out) == ({}, [], "")


def test_several_processes_on_the_cpu_do_not_measure(recorder, settings, measured):
    settings.trainer.devices = 2
    assert choose_precision(recorder(), settings) == "32-true"
    assert measured == []


@pytest.mark.parametrize(
    ("device", "supported", "expected"),
    [("cuda", True, "bf16-mixed"), ("cuda", False, "32-true"), ("mps", True, "32-true")],
)
def test_the_precision_of_other_devices_is_not_measured(
    recorder, settings, measured, monkeypatch, device, supported, expected, capsys
):
    monkeypatch.setattr(precision, "choose_device", lambda trainer: torch.device(device))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: supported)
    assert choose_precision(recorder(), settings) == expected
    assert capsys.readouterr().out.startswith(f"precision: {expected}, ")
    assert measured == []


def test_a_network_that_does_not_support_bfloat16_trains_in_float32(recorder, settings, measured, monkeypatch):
    def fail(build) -> dict[str, float]:
        raise RuntimeError("not implemented for 'BFloat16'")

    monkeypatch.setattr(precision, "measure", fail)
    assert choose_precision(recorder(), settings) == "32-true"


@pytest.mark.parametrize("experiment", ["smile", "gan"])
def test_a_measurement_computes_gradients_in_both_precisions_and_changes_no_random_state(experiment, compose):
    cfg = compose(f"experiment={experiment}", "model.image_size=32")
    if experiment == "smile":
        cfg.model.backbone = "squeezenet1_1"
    torch.manual_seed(3)
    state = torch.get_rng_state()
    seconds = measure(precision._network(cfg.model)[1])
    assert seconds.keys() == SECONDS.keys()
    assert all(0 < value < 60 for value in seconds.values())
    assert torch.equal(torch.get_rng_state(), state)


def test_both_precisions_are_used_alternately():
    layer, types = nn.Linear(2, 2), []

    def compute() -> Tensor:
        output = layer(torch.ones(1, 2))
        types.append(output.dtype)
        return output

    measure(lambda: compute)
    assert types == [torch.float32, torch.bfloat16] * 6
    assert layer.weight.grad is not None


@pytest.mark.slow
def test_a_resumed_or_repeated_run_uses_the_recorded_precision(
    command, tiny_celeba, tmp_path, monkeypatch, blank_figures
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(precision, "measure", lambda build: {"32-true": 2.0, "bf16-mixed": 1.0})
    small = ["experiment=smile", "data=celeba", f"data.root={tiny_celeba}", "data.store=jpeg", "model.image_size=32"]
    small += ["model.backbone=squeezenet1_1", "model.weights=null", "trainer=cpu", "trainer.max_epochs=1"]
    small += ["task.report.page=false", "task.report.tune=null", "task.report.estimator=null", "hydra.run.dir=first"]
    code, out, err = command(*small)
    assert code == 0, err
    assert "precision: bf16-mixed, which is 2.00 times as fast" in out
    assert OmegaConf.load(tmp_path / "first" / "config.yaml").recipe.precision == "bf16-mixed"
    assert json.loads((tmp_path / "first" / "summary.json").read_text())["details"]["precision"] == "bf16-mixed"
    monkeypatch.setattr(precision, "measure", lambda build: {"32-true": 1.0, "bf16-mixed": 2.0})
    for path in (tmp_path / "cache" / "celeba_lab" / "precision").iterdir():
        path.unlink()
    code, out, err = command("repeat=first", "hydra.run.dir=second")
    assert code == 0, err
    assert "are equal to the last bit" in out
    code, _, err = command("resume=first", "trainer.max_epochs=2")
    assert code == 0, err
    for folder in ("first", "second"):
        assert json.loads((tmp_path / folder / "summary.json").read_text())["details"]["precision"] == "bf16-mixed"
        settings = OmegaConf.load(tmp_path / folder / "config.yaml")
        assert (settings.recipe.precision, settings.trainer.precision) == ("bf16-mixed", None)
