"""``data=auto`` selects CelebA if it exists, and otherwise synthetic faces, which are clearly marked as synthetic."""

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from celeba_lab.cli.choose_data import choose_attributes, choose_data
from celeba_lab.config import build
from celeba_lab.data.attributes import ATTRIBUTES
from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.data.synthetic.datamodule import SyntheticDataModule
from celeba_lab.data.synthetic.faces import draw_faces
from celeba_lab.data.synthetic.settings import Settings
from celeba_lab.errors import UserError

SMOKE = ["experiment=smile", "trainer=smoke", "model.weights=null", "model.image_size=32", "~callbacks.progress_bar"]


@pytest.fixture(autouse=True)
def _no_celeba_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CELEBA_ROOT", raising=False)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("auto") / "faces"
    draw_faces(root, Settings(n=80))
    return root


@pytest.mark.slow
@pytest.mark.usefixtures("blank_figures")
def test_without_celeba_all_output_says_synthetic(faces: Path, tmp_path: Path, run_command, read_summary) -> None:
    result = run_command(*SMOKE, f"data.otherwise.root={faces}", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == f"data: synthetic in {faces}"
    assert "CelebA was not found in data/celeba" in result.stdout
    assert "SYNTHETIC faces, drawn by celeba_lab: the results say nothing about CelebA." in result.stdout
    [folder] = (tmp_path / "outputs" / "smile").iterdir()
    data = read_summary(folder)["data"]
    assert (data["name"], data["synthetic"]["n"]) == ("synthetic", 80)
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload()
    [text] = events.Tensors("configuration/text_summary")
    assert b"name: synthetic" in text.tensor_proto.string_val[0]
    assert len(list((folder / "figures").glob("*.png"))) > 5
    page = folder / "report.html"
    assert "SYNTHETIC faces, drawn by celeba_lab: the results say nothing about CelebA." in page.read_text()
    assert f"report: {page.relative_to(tmp_path)}" in result.stdout


@pytest.mark.parametrize("how", ["data=auto", "data=celeba", "data=synthetic"])
def test_drawn_faces_are_never_reported_as_celeba(faces: Path, how: str, compose) -> None:
    cfg = compose(how, "data.name=mine", "seed=1")
    cfg.data.root = str(faces)
    assert choose_data(cfg) is None
    assert (cfg.data.name, cfg.data.root) == ("synthetic", str(faces))
    datamodule = build(cfg.data, attributes=["Smiling"])
    assert isinstance(datamodule, SyntheticDataModule)
    assert datamodule.provenance["synthetic"]["n"] == 80


def test_auto_selects_celeba_if_it_exists(tiny_celeba: Path, compose) -> None:
    cfg = compose()
    cfg.data.root = str(tiny_celeba)
    assert choose_data(cfg) is None
    assert cfg.data.name == "celeba"
    assert type(build(cfg.data, attributes=["Smiling"])) is CelebADataModule


def test_a_recipe_does_not_add_data_to_a_task_without_data(compose) -> None:
    cfg = compose("experiment=gan", "task=export")
    assert choose_data(cfg) is None
    assert cfg.data is None


def test_all_is_expanded_to_the_attribute_names_for_model_and_task(compose) -> None:
    cfg = compose("experiment=attributes", "task=clusters", "task.attributes=all")
    choose_attributes(cfg)
    assert cfg.model.attributes == cfg.task.attributes == list(ATTRIBUTES)


def test_attributes_other_than_all_are_not_changed(compose) -> None:
    cfg = compose("experiment=gan", "task=logistic", "model.attributes=null")
    choose_attributes(cfg)
    assert (cfg.model.attributes, cfg.task.attributes) == (None, None)
    choose_attributes(compose("task=compare", "task.runs=x"))
    choose_attributes(compose("task=generate", "task.attributes={Smiling: 1}"))


@pytest.mark.parametrize("key", ["model.attributes", "task.attributes"])
def test_the_error_for_a_misspelt_attribute_names_it(key: str, compose) -> None:
    cfg = compose("experiment=smile", "task=embeddings", f"{key}=[Smling]")
    message = rf"^{key}=\[Smling\] contains 'Smling', which is not an attribute of CelebA\. Did you mean 'Smiling'\?"
    with pytest.raises(UserError, match=message):
        choose_attributes(cfg)


def test_data_celeba_never_falls_back_to_synthetic_faces(tmp_path: Path, run_command) -> None:
    result = run_command(*SMOKE, "data=celeba", cwd=tmp_path)
    assert result.returncode == 1
    assert "The data folder data/celeba does not exist" in result.stderr


@pytest.mark.usefixtures("blank_figures")
def test_synthesize_runs_from_the_command_line(tmp_path: Path, run_command, read_summary) -> None:
    arguments = ["task=synthesize", "data.root=faces", "task.n=20", "seed=3"]
    result = run_command(*arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    [folder] = (tmp_path / "outputs" / "synthesize").iterdir()
    assert {path.name for path in (folder / "figures").iterdir()} == {"faces.png", "attributes.png"}
    assert (folder / "tables" / "prevalence.csv").is_file()
    assert read_summary(folder)["data"]["images"] == {"train": 16, "val": 2, "test": 2}
    other = run_command(*arguments, "seed=4", cwd=tmp_path)
    assert other.returncode == 1
    assert "task.overwrite=false keeps the faces in" in other.stderr
    assert "Traceback" not in other.stderr
