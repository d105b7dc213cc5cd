"""Configuration files cannot call functions, and import only libraries that celeba_lab uses and trusted modules."""

import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from celeba_lab.cli.targets import VARIABLE, check_targets, trust_from_arguments
from celeba_lab.errors import SettingError, UserError

# Functions and classes that would act on the machine if they were called. The first part acts in libraries that
# celeba_lab uses.
DANGEROUS = [
    "torch.load", "torch.save", "torch.jit.load", "torch.hub.load", "torch.hub.download_url_to_file",
    "torch.hub.load_state_dict_from_url", "torch.utils.collect_env.run", "torch.utils.cpp_extension.load",
    "torch.utils.model_dump.__main__.X",
    "torch.package.PackageImporter", "torch.distributed.run.main", "torch.multiprocessing.spawn",
    "torchvision.datasets.utils.download_url", "torchvision.datasets.CelebA", "torchvision.io.read_file",
    "lightning.pytorch.cli.LightningCLI", "lightning.seed_everything", "lightning.fabric.utilities.cloud_io._load",
    "sklearn.datasets.fetch_openml", "sklearn.datasets.load_files", "sklearn.externals.array_api_compat.torch.load",
    "celeba_lab.files.write_atomically", "celeba_lab.files.os.remove", "celeba_lab.engine.fit.fit",
    "celeba_lab.data.synthetic.dataset.os.remove", "celeba_lab.cli.main.main", "celeba_lab.tasks.train.fit",
    "datetime.datetime", "torch.nn.Module.to", "os.mkdir", "os.system", "os.path.expanduser", "shutil.copy",
    "shutil.rmtree", "subprocess.run", "subprocess.Popen", "io.open", "builtins.exec", "builtins.open",
    "pathlib.Path.touch", "pathlib.Path", "joblib.load", "pandas.read_pickle", "numpy.load", "pickle.loads",
    "importlib.import_module", "runpy.run_path", "urllib.request.urlretrieve", "hydra.utils.instantiate",
    "hydra.utils.get_method", "omegaconf.OmegaConf.save", "yaml.unsafe_load", "matplotlib.pyplot.savefig",
]  # fmt: skip
PLACES = ["task", "model", "data", "logger.x", "callbacks.x", "task.report", "model.augment", "trainer.strategy"]


def nested(place: str, target: str) -> dict:
    node: dict = {"_target_": target, "_partial_": True}
    for key in reversed(place.split(".")):
        node = {key: node}
    return node


@pytest.mark.parametrize("target", DANGEROUS)
def test_dangerous_targets_are_refused_everywhere(target: str) -> None:
    for place in PLACES:
        cfg = OmegaConf.create(nested(place, target))
        with pytest.raises(UserError, match=rf"^{place}\._target_={target} "):
            check_targets(cfg, import_libraries=True)
    listed = OmegaConf.create({"model": {"layers": [{"_target_": target}]}})
    with pytest.raises(UserError, match=r"^model\.layers\.0\._target_="):
        check_targets(listed, import_libraries=True)


def test_private_modules_of_libraries_are_not_imported() -> None:
    """Importing a module called __main__ would run a program."""
    for target in ("torch.utils.model_dump.__main__.X", "sklearn.__main__.X", "lightning.pytorch.__main__.X"):
        sys.modules.pop(target.rpartition(".")[0], None)
        with pytest.raises(UserError, match=r"is not a public name of "):
            check_targets(OmegaConf.create(nested("callbacks.x", target)), import_libraries=True)
        assert target.rpartition(".")[0] not in sys.modules


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.usefixtures("mine")
def test_modules_that_are_not_trusted_are_not_imported(place: str, tmp_path: Path) -> None:
    for target in ("mine.run", "mine.inner.Class"):
        with pytest.raises(UserError, match="is not in a trusted module"):
            check_targets(OmegaConf.create(nested(place, target)), import_libraries=True)
    assert "mine" not in sys.modules
    assert not (tmp_path / "imported").exists()


@pytest.mark.parametrize(
    ("place", "target"),
    [
        ("callbacks.stop", "lightning.pytorch.callbacks.EarlyStopping"),
        ("callbacks.log", "celeba_lab.engine.callbacks.EpochLog"),
        ("logger.csv", "lightning.pytorch.loggers.CSVLogger"),
        ("trainer", "lightning.Trainer"),
        ("trainer.strategy", "lightning.pytorch.strategies.DDPStrategy"),
        ("trainer.profiler", "lightning.pytorch.profilers.SimpleProfiler"),
        ("task", "celeba_lab.tasks.train.train"),
        ("task.report", "celeba_lab.reports.classifier.ClassifierReport"),
        ("task.scaler", "sklearn.decomposition.PCA"),
        ("model", "celeba_lab.models.gan.GAN"),
        ("model.head", "torch.nn.Linear"),
        ("trainer.max_time", "datetime.timedelta"),
    ],
)
def test_targets_of_the_right_kind_are_accepted(place: str, target: str) -> None:
    check_targets(OmegaConf.create(nested(place, target)), import_libraries=True)


@pytest.mark.parametrize(
    ("place", "target", "sentence"),
    [
        ("model", "lightning.pytorch.callbacks.Timer", "is not a LightningModule."),
        ("callbacks.x", "torch.nn.Linear", "is not a Callback."),
        ("logger.x", "torch.nn.Linear", "is not a Logger"),
        ("task", "lightning.pytorch.callbacks.Timer", "is not a task of celeba_lab."),
        ("callbacks.x", "lightning.pytorch.callbacks.Nothing", "cannot be imported"),
        ("callbacks.x", "Timer", "must be the dotted path of a class."),
        ("callbacks.x", 7, "must be the dotted path of a class."),
        ("callbacks.x", "mine.Own", "is not in a trusted module. If you wrote or read this module, add trusted_mod"),
    ],
)
def test_a_target_of_the_wrong_kind_is_explained(place: str, target: object, sentence: str) -> None:
    with pytest.raises(UserError) as error:
        check_targets(OmegaConf.create(nested(place, target)), import_libraries=True)
    assert sentence in str(error.value)


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module in the user's working directory, which writes a file when it is imported."""
    write = f"from pathlib import Path\nPath({str(tmp_path / 'imported')!r}).touch()\n"
    (tmp_path / "mine.py").write_text(f"{write}def run(cfg):\n    return {{}}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)


@pytest.mark.usefixtures("mine")
def test_own_modules_are_trusted_if_named_on_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert trust_from_arguments(["+callbacks.x._target_=mine.Own", "task._target_=os.mkdir"]) == ["mine"]
    assert trust_from_arguments(["trainer._target_=joblib.load", "seed=1", "-m"]) == []
    assert trust_from_arguments(["trusted_modules=[mine,other.parts]"]) == ["mine", "other.parts"]
    monkeypatch.setenv(VARIABLE, "mine")
    check_targets(OmegaConf.create(nested("task", "mine.run")), import_libraries=True)


def test_modules_of_python_cannot_be_trusted() -> None:
    with pytest.raises(SettingError, match="contains os, which is part of Python and cannot be trusted as a whole"):
        trust_from_arguments(["trusted_modules=[os]"])


@pytest.mark.usefixtures("mine")
def test_a_file_cannot_trust_its_own_modules(own_conf: Path, command) -> None:
    experiment = own_conf / "experiment" / "borrowed.yaml"
    experiment.write_text("# @package _global_\ntask:\n  _target_: mine.run\ntrusted_modules: [mine]\n")
    code, _, err = command("experiment=borrowed")
    assert code == 1
    assert "trusted_modules=[mine] is set in a file." in err
    experiment.write_text("# @package _global_\ntask:\n  _target_: mine.run\n")
    code, _, err = command("experiment=borrowed")
    assert (code, "is not in a trusted module" in err) == (1, True)
    code, _, err = command("experiment=borrowed", "trusted_modules=[mine]", "~task.report")
    assert "trusted" not in err


def test_a_cache_of_an_estimator_is_refused() -> None:
    steps = [["a", {"_target_": "sklearn.pipeline.Pipeline", "memory": "borrowed"}]]
    cfg = OmegaConf.create({"task": {"scaler": {"_target_": "sklearn.pipeline.Pipeline", "steps": steps}}})
    with pytest.raises(SettingError, match=r"^task\.scaler\.steps\.0\.1\.memory=borrowed is not supported"):
        check_targets(cfg, import_libraries=False)
    search = {"_target_": "sklearn.model_selection.GridSearchCV", "param_grid": [{"scaler__memory": ["borrowed"]}]}
    cfg = OmegaConf.create({"task": {"estimator": search}})
    with pytest.raises(SettingError, match=r"^task\.estimator\.param_grid\.0\.scaler__memory=\['borrowed'\] is not"):
        check_targets(cfg, import_libraries=False)


INTERPOLATED = """# @package _global_
defaults:
  - override /task: clusters
name: borrowed
task:
  clusterer:
    _target_: ${oc.select:data.otherwise.root,os.mkdir}
    n_clusters: 3
"""


@pytest.mark.usefixtures("blank_figures")
def test_a_target_is_the_same_when_it_is_checked_and_called(own_conf: Path, command, tiny_celeba: Path) -> None:
    """If the interpolation were still there, it would give os.mkdir once the data have been chosen."""
    text = INTERPOLATED + "data:\n  otherwise:\n    root: sklearn.cluster.MiniBatchKMeans\n"
    (own_conf / "experiment" / "borrowed.yaml").write_text(text)
    arguments = ["experiment=borrowed", f"data.root={tiny_celeba}", "task.fraction=1"]
    code, _, err = command(*arguments)
    assert (code, err) == (0, "")


def test_a_name_with_a_dot_is_refused(own_conf: Path, command) -> None:
    """The kind of a target is determined from its place, which is written with dots."""
    text = "# @package _global_\ncallbacks:\n  'a.b': {_target_: torch.nn.ReLU}\n"
    (own_conf / "experiment" / "borrowed.yaml").write_text(text)
    code, _, err = command("experiment=borrowed", "task=compare", "task.runs=x")
    assert code == 1
    assert "callbacks contains 'a.b', but the name of a setting must not contain a dot." in err


@pytest.mark.parametrize("part", ["profiler", "strategy", "accelerator"])
def test_parts_of_the_trainer_must_be_of_the_right_kind(own_conf: Path, command, part: str) -> None:
    text = f"# @package _global_\ntrainer:\n  {part}: {{_target_: torch.nn.ReLU}}\n"
    (own_conf / "experiment" / "borrowed.yaml").write_text(text)
    code, _, err = command("experiment=borrowed", "task=train", "trainer=cpu")
    assert code == 1
    assert f"trainer.{part}._target_=torch.nn.ReLU is not a {part.title()}." in err
