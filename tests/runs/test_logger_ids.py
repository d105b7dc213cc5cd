"""The ids of a run are stored for each service."""

from pathlib import Path

from celeba_lab.runs.logger_ids import LoggerIds, read_id, remove_id, write_id


def test_the_id_of_one_service_is_removed(tmp_path: Path) -> None:
    remove_id(tmp_path, "wandb")
    for service, value in (("wandb", "one"), ("mlflow", "two")):
        write_id(tmp_path, service, value)
    remove_id(tmp_path, "wandb")
    assert (read_id(tmp_path, "wandb"), read_id(tmp_path, "mlflow")) == (None, "two")
    remove_id(tmp_path, "mlflow")
    assert not (tmp_path / LoggerIds.FILE).exists()
