"""Lightning's logger for MLflow, with a local database, figures, tables and text."""

import logging
import os
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from io import BytesIO
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from filelock import FileLock
from lightning.pytorch import loggers
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_only
from PIL import Image
from typing_extensions import override

from celeba_lab.config import flatten, one_line
from celeba_lab.console import display_path, is_main_process
from celeba_lab.errors import SettingError, UserError, missing_extra
from celeba_lab.runs.logger_ids import read_id, remove_id, sweep_of, write_id
from celeba_lab.runs.loggers import MOST_ROWS

if TYPE_CHECKING:
    import pandas as pd

_SERVICE = "mlflow"
_SQLITE = "sqlite:///"
_DATABASE = Path("outputs", "mlflow.db")
_LONGEST = 200  # Most characters of a message of MLflow.


class MLFlowLogger(loggers.MLFlowLogger):
    """Stores metrics, hyperparameters, figures, tables and text in a database of MLflow, or sends them to a server.

    A resumed run goes on in the same run of MLflow. The runs of a sweep have the tag ``sweep``.

    Args:
        save_dir: Path to the run folder.
        experiment_name: Name of the experiment.
        run_name: Name of the run. Defaults to the name of the run folder.
        tracking_uri: Address of a server or a database. Defaults to the environment variable ``MLFLOW_TRACKING_URI``
            if it is set, and otherwise to the database ``outputs/mlflow.db``, so that all runs can be compared.
        tags: Tags of the run.
        log_model: If true, checkpoints are stored as well.

    Raises:
        UserError: mlflow is not installed.
        SettingError: The server or the database cannot be used.
    """

    def __init__(
        self,
        save_dir: str,
        experiment_name: str = "celeba_lab",
        run_name: str | None = None,
        tracking_uri: str | None = None,
        tags: dict[str, str] | None = None,
        log_model: bool = False,
    ) -> None:
        _import_mlflow()
        self._folder = Path(save_dir)
        self._earlier_id = read_id(self._folder, _SERVICE)
        uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or f"{_SQLITE}{_DATABASE}"
        self._database = Path(uri.removeprefix(_SQLITE)).absolute() if uri.startswith(_SQLITE) else None
        sweep = sweep_of(self._folder)
        with _explaining_address(uri), self._lock():
            super().__init__(
                experiment_name=experiment_name,
                run_name=run_name or self._folder.resolve().name,
                # The current folder may change later.
                tracking_uri=uri if self._database is None else f"{_SQLITE}{self._database}",
                tags={**({} if sweep is None else {"sweep": sweep}), **(tags or {})},
                log_model=log_model,
                # A server chooses its own place.
                artifact_location=None if self._database is None else str(self._database.parent / "mlflow_artifacts"),
                run_id=self._earlier_id,
            )
            self._mlflow_client.get_experiment_by_name(experiment_name)  # This fails if a server cannot be reached.

    def _lock(self) -> Any:
        """Return a lock for a local database, because processes that create it at the same time would fail."""
        if self._database is None:
            return nullcontext()
        self._database.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(f"{self._database}.lock")

    @property
    @override
    def experiment(self) -> Any:
        if self._initialized or not is_main_process():
            return super().experiment
        with _explaining(), self._lock():
            if self._run_id is None:
                self._run_id = self._create_run()
            else:
                self._mlflow_client.update_run(self._run_id, status="RUNNING")
            client = super().experiment
        write_id(self._folder, _SERVICE, str(self._run_id))
        return client

    def _create_run(self) -> str:
        """Create the run without the tags that Lightning adds: the user, the program and the commit."""
        found = self._mlflow_client.get_experiment_by_name(self._experiment_name)
        if found is not None and found.lifecycle_stage == "deleted":
            self._mlflow_client.restore_experiment(found.experiment_id)
        if found is None:
            created = self._mlflow_client.create_experiment(
                self._experiment_name, artifact_location=self._artifact_location
            )
        experiment_id = created if found is None else found.experiment_id
        run = self._mlflow_client.create_run(experiment_id, tags=self.tags, run_name=self._run_name)
        return str(run.info.run_id)

    @property
    @override
    def save_dir(self) -> str:
        return str(self._folder)

    @override
    @rank_zero_only
    def log_hyperparams(self, params: Any) -> None:
        """Store hyperparameters. MLflow refuses to change one, so new values are stored as tags ``changed.NAME``."""
        with _explaining():
            known = self.experiment.get_run(self.run_id).data.params
            named = {_permitted(name): value for name, value in flatten(dict(params)).items()}
            super().log_hyperparams({name: value for name, value in named.items() if name not in known})
            for name, value in named.items():
                if name in known and known[name] != str(value)[:250]:
                    self.experiment.set_tag(self.run_id, f"changed.{name}", str(value))

    @override
    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        with _explaining():
            super().log_metrics({_permitted(name): value for name, value in metrics.items()}, step)

    @override
    def finalize(self, status: str = "success") -> None:
        # Lightning calls this method after training, when the report has not been written yet.
        if self._initialized and self._checkpoint_callback:
            self._scan_and_log_checkpoints(self._checkpoint_callback)

    @override
    def _scan_and_log_checkpoints(self, checkpoint_callback: ModelCheckpoint) -> None:
        with _explaining():
            super()._scan_and_log_checkpoints(checkpoint_callback)

    def send_figure(self, name: str, png: bytes, step: int) -> None:
        """Store a figure as an artifact."""
        with _explaining(), Image.open(BytesIO(png), formats=["PNG"]) as image:
            self.experiment.log_image(self.run_id, image, artifact_file=f"figures/{name}.png")

    def send_image(self, tag: str, png: bytes, step: int) -> None:
        """Store an image that belongs to a training step."""
        with _explaining(), Image.open(BytesIO(png), formats=["PNG"]) as image:
            self.experiment.log_image(self.run_id, image, key=tag, step=step, synchronous=True)

    def send_table(self, name: str, frame: "pd.DataFrame") -> None:
        """Store a table with at most 10,000 rows as a CSV file."""
        if len(frame) <= MOST_ROWS:
            with _explaining():
                self.experiment.log_text(self.run_id, frame.to_csv(index=False), f"tables/{name}.csv")

    def send_text(self, name: str, text: str, step: int) -> None:
        """Store a text as a file."""
        with _explaining():
            self.experiment.log_text(self.run_id, text, f"{name}.md")

    def send_results(
        self, hyperparameters: Mapping[str, Any], metrics: Mapping[str, float], step: int, varied: Collection[str] = ()
    ) -> None:
        """Store hyperparameters, and metrics with the prefix ``best/``."""
        self.log_hyperparams(dict(hyperparameters))
        self.log_metrics({f"best/{name}": value for name, value in metrics.items()}, step)

    def describe_view(self) -> tuple[str, str]:
        """Return the address of the server, or the command that starts one for a local database."""
        if self._database is None:
            return "MLflow", self._tracking_uri
        return "MLflow", f"mlflow ui --backend-store-uri {_SQLITE}{display_path(self._database)}"

    def close(self, is_finished: bool) -> None:
        """Mark the run as finished or failed."""
        if self._initialized:
            with _explaining():
                self.experiment.set_terminated(self.run_id, "FINISHED" if is_finished else "FAILED")

    def withdraw(self) -> None:
        """Delete the run if it is new."""
        if not self._initialized:
            return
        if self._earlier_id is None:
            self.experiment.delete_run(self.run_id)
            remove_id(self._folder, _SERVICE)
        else:
            self.close(is_finished=False)


def _permitted(name: str) -> str:
    """Return a name that MLflow permits, for example ``D_G_z`` for ``D(G(z))``."""
    return re.sub(r"[^\w/. :-]+", "_", name).strip("_")


def _import_mlflow() -> None:
    """Import mlflow, and prevent it from reporting how it is used.

    Raises:
        UserError: mlflow is not installed.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # With the default, a wrong address takes minutes.
    try:
        import mlflow  # noqa: F401
    except ImportError as error:
        raise missing_extra("MLFlowLogger", "mlflow") from error
    for name in ("mlflow", "alembic"):  # They announce that they create the tables of a database.
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # It announces every attempt.


@contextmanager
def _explaining() -> Iterator[None]:
    """Within this block, errors of MLflow are explained.

    Raises:
        UserError: A request has failed.
    """
    from mlflow.exceptions import MlflowException
    from requests import RequestException

    try:
        yield
    except (MlflowException, RequestException) as error:
        raise UserError(f"MLflow could not store the run ({shorten(one_line(error), _LONGEST)}).") from error


@contextmanager
def _explaining_address(uri: str) -> Iterator[None]:
    """Within this block, errors are caused by an address.

    Raises:
        SettingError: The server or the database cannot be used.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, ImportError, OSError) as error:
        rule = f"cannot be used ({shorten(one_line(error), _LONGEST)})"
        hint = f"Give the address of a server (http://...) or a database ({_SQLITE}PATH)."
        raise SettingError("tracking_uri", uri, rule, hint) from error
