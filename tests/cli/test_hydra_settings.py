"""Settings of Hydra in a configuration file cannot call functions, import modules or open other files."""

from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from celeba_lab.cli.hydra_settings import check_hydra
from celeba_lab.errors import SettingError
from celeba_lab.files import config_directory

DANGEROUS: list[tuple[dict[str, Any], str]] = [
    ({"callbacks": {"x": {"_target_": "os.mkdir", "path": "bad"}}}, "hydra.callbacks.x._target_=os.mkdir"),
    ({"callbacks": {"x": {"_target_": "celeba_lab.cli.main.os.mkdir"}}}, "hydra.callbacks.x._target_=celeba_lab.cli"),
    ({"callbacks": {"x": {"_target_": "celeba_lab.cli.resume.write_atomically"}}}, "is not a callback"),
    ({"callbacks": {"x": {"_target_": "hydra.utils.get_class", "path": "evil.X"}}}, "hydra.callbacks.x._target_=hydra"),
    ({"callbacks": {"x": {"_target_": "hydra.utils.call"}}}, "is not a callback"),
    ({"callbacks": {"x": {"_target_": "${oc.select:job.name}"}}}, "must not contain an interpolation"),
    ({"callbacks": {"x": "${oc.create:{_target_:os.mkdir}}"}}, "must not contain an interpolation"),
    ({"callbacks": {"x": "${model}"}}, "must not contain an interpolation"),
    ({"launcher": {"_target_": "os.mkdir"}}, "hydra.launcher._target_=os.mkdir"),
    ({"sweeper": {"_target_": "os.mkdir"}}, "hydra.sweeper._target_=os.mkdir"),
    ({"job_logging": {"handlers": {"x": {"()": "os.mkdir"}}}}, "hydra.job_logging.handlers.x.()=os.mkdir"),
    ({"job_logging": {"handlers": {"x": {"()": "logging.os.system"}}}}, "hydra.job_logging.handlers.x.()"),
    ({"job_logging": {"handlers": {"x": {"class": "shutil.copy"}}}}, "hydra.job_logging.handlers.x.class=shutil.copy"),
    ({"job_logging": {"handlers": {"x": {"queue": "evil.X"}}}}, "hydra.job_logging.handlers.x.queue=evil.X"),
    ({"job_logging": {"handlers": {"file": {"filename": "precious"}}}}, "hydra.job_logging.handlers.file.filename"),
    ({"job_logging": {"formatters": {"x": {"class": "evil.X"}}}}, "hydra.job_logging.formatters.x.class=evil.X"),
    ({"job_logging": {"filters": {"x": {"()": "evil.X"}}}}, "hydra.job_logging.filters.x.()=evil.X"),
    ({"hydra_logging": {"handlers": {"x": {"stream": "ext://os.environ"}}}}, "hydra.hydra_logging.handlers.x.stream="),
    ({"job": {"env_set": {"CELEBA_LAB_TRUSTED_MODULES": "evil"}}}, "hydra.job.env_set"),
]


@pytest.mark.parametrize(("settings", "sentence"), DANGEROUS)
def test_a_file_cannot_change_what_hydra_calls(settings: dict, sentence: str, own_conf: Path, command) -> None:
    text = OmegaConf.to_yaml({"hydra": settings})
    (own_conf / "experiment" / "borrowed.yaml").write_text(f"# @package _global_\n{text}")
    code, _, err = command("experiment=borrowed", "seed=-1")
    assert code == 1
    assert sentence in err
    assert "Traceback" not in err
    assert not Path("bad").exists()


def test_the_settings_of_every_logging_choice_of_hydra_are_accepted() -> None:
    for name in ("default", "disabled", "none", "stdout"):
        with initialize_config_dir(str(config_directory()), version_base="1.3"):
            check_hydra(compose("config", [f"hydra/job_logging={name}"], return_hydra_config=True).hydra)


def test_callbacks_of_hydra_are_accepted() -> None:
    module = "hydra.experimental.callbacks"
    check_hydra(OmegaConf.create({"callbacks": {"x": {"_target_": f"{module}.LogJobReturnCallback"}}}))
    with pytest.raises(SettingError, match="cannot be imported"):
        check_hydra(OmegaConf.create({"callbacks": {"x": {"_target_": f"{module}.Nothing"}}}))


def test_the_name_of_the_log_file_is_no_path() -> None:
    with pytest.raises(SettingError, match=r"^hydra\.job\.name=\.\./precious must not contain a slash\.$"):
        check_hydra(OmegaConf.create({"job": {"name": "../precious"}}))
