"""Lightning's logger for Weights & Biases (W&B), which sends nothing about the computer unless it is asked to."""

import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from lightning.pytorch import loggers
from lightning.pytorch.callbacks import ModelCheckpoint
from PIL import Image
from typing_extensions import override

from celeba_lab.config import one_line
from celeba_lab.console import display_path, is_main_process
from celeba_lab.errors import SettingError, UserError, missing_extra
from celeba_lab.files import check_name
from celeba_lab.runs.logger_ids import read_id, remove_id, sweep_of, write_id
from celeba_lab.runs.loggers import MOST_ROWS

if TYPE_CHECKING:
    import pandas as pd

_SERVICE = "wandb"
_DATA = "WANDB_DATA_DIR"
_LONGEST = 200  # Most characters of a message of wandb.


class WandbLogger(loggers.WandbLogger):
    """Sends metrics, hyperparameters, figures, tables and text to W&B, or stores them until ``wandb sync`` is called.

    The files are in the folder ``wandb`` of the run folder. A resumed run goes on in the same run of W&B, and the runs
    of a sweep form a group.

    Args:
        save_dir: Path to the run folder.
        project: Name of the project.
        entity: User or team that owns the project. Defaults to the one that is set on the website.
        name: Name of the run. Defaults to the name of the run folder.
        group: Name of the group. Defaults to the name of the sweep, if the run belongs to one.
        tags: Tags of the run.
        notes: Description of the run.
        offline: If true, nothing is sent.
        log_model: If true, checkpoints are sent as well.
        describe_computer: If true, the name of the computer, the command, the commit, the versions of all installed
            libraries, and the load of the processors are also sent.

    Raises:
        UserError: wandb is not installed.
        SettingError: The user is not logged in, or ``log_model`` is combined with ``offline``.
    """

    def __init__(
        self,
        save_dir: str,
        project: str = "celeba_lab",
        entity: str | None = None,
        name: str | None = None,
        group: str | None = None,
        tags: Sequence[str] | None = None,
        notes: str | None = None,
        offline: bool = False,
        log_model: bool = False,
        describe_computer: bool = False,
    ) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        try:
            import wandb
        except ImportError as error:
            raise missing_extra("WandbLogger", "wandb") from error
        if offline and log_model:
            raise SettingError("log_model", log_model, "cannot be combined with offline=true")
        self._folder = Path(save_dir)
        self._is_offline = offline or os.environ.get("WANDB_MODE") in ("offline", "dryrun", "disabled")
        self._earlier_id = read_id(self._folder, _SERVICE)
        if not self._is_offline and is_main_process():
            try:
                wandb.login()
            except wandb.errors.Error as error:
                rule = f"needs an account of W&B ({one_line(error)})"
                raise SettingError("offline", False, rule, "To store the run without sending it, use true.") from error
        super().__init__(
            name=name or self._folder.resolve().name,
            save_dir=save_dir,
            id=self._earlier_id,
            project=project,
            log_model=log_model,
            entity=entity,
            group=group or sweep_of(self._folder),
            tags=list(tags or []),
            notes=notes,
            settings=wandb.Settings(**_settings(describe_computer)),
            reinit="create_new",  # The jobs of a sweep run in one process.
            mode="offline" if offline else None,
        )
        del self._wandb_init["anonymous"]  # wandb warns of this setting, which Lightning passes without a value.

    @property
    @override
    def experiment(self) -> Any:
        if self._experiment is not None or not is_main_process():
            return super().experiment
        with _explaining():
            run = super().experiment
        # A link to a log of wandb in the user's home folder would lead out of the run folder.
        (Path(run.dir).parent / "logs" / "debug-core.log").unlink(missing_ok=True)
        write_id(self._folder, _SERVICE, run.id)
        return run

    @override
    def log_hyperparams(self, params: Any) -> None:
        with _explaining():
            super().log_hyperparams(params)

    @override
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        with _explaining():
            super().log_metrics(metrics, step)

    @override
    def finalize(self, status: str) -> None:
        # Lightning calls this method after training, when the report has not been written yet.
        if self._experiment is not None:
            super().finalize(status)

    @override
    def _scan_and_log_checkpoints(self, checkpoint_callback: ModelCheckpoint) -> None:
        with _explaining():
            super()._scan_and_log_checkpoints(checkpoint_callback)

    def send_figure(self, name: str, png: bytes, step: int) -> None:
        """Send a figure."""
        self.send_image(f"figures/{name}", png, step)

    def send_image(self, tag: str, png: bytes, step: int) -> None:
        """Send an image that belongs to a training step."""
        with _explaining(), Image.open(BytesIO(png), formats=["PNG"]) as image:
            self.log_image(tag, [image.copy()], step)

    def send_table(self, name: str, frame: "pd.DataFrame") -> None:
        """Send a table with at most 10,000 rows."""
        if len(frame) <= MOST_ROWS:
            # A column with undefined values would otherwise contain NaN, which is not valid in JSON.
            rows = frame.astype(object).where(frame.notna(), None).to_numpy().tolist()
            with _explaining(), _data_in(self._folder / "wandb" / "data"):
                self.log_table(f"tables/{name}", columns=list(map(str, frame)), data=rows)

    def send_text(self, name: str, text: str, step: int) -> None:
        """Send a text as a file."""
        check_name(Path(name))
        folder = Path(self.experiment.dir)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.md").write_text(text, encoding="utf-8")

    def send_results(
        self, hyperparameters: Mapping[str, Any], metrics: Mapping[str, float], step: int, varied: Collection[str] = ()
    ) -> None:
        """Add hyperparameters to the configuration of the run, and metrics with the prefix ``best/`` to its summary."""
        self.log_hyperparams(dict(hyperparameters))
        with _explaining():
            self.experiment.summary.update({f"best/{name}": value for name, value in metrics.items()})

    def describe_view(self) -> tuple[str, str]:
        """Return the address of the run, or the command that sends it."""
        if not self._is_offline:
            return "W&B", str(self.experiment.url)
        return "send to W&B", f"wandb sync {display_path(self._folder / 'wandb')}/offline-run-*"

    def close(self, is_finished: bool) -> None:
        """Wait until everything has been sent, and mark the run as finished or failed."""
        if self._experiment is not None:
            self._experiment.finish(exit_code=0 if is_finished else 1)

    def withdraw(self) -> None:
        """Mark the run as failed, and remove its files if it is new."""
        self.close(is_finished=False)
        if self._earlier_id is None:
            shutil.rmtree(self._folder / "wandb", ignore_errors=True)
            remove_id(self._folder, _SERVICE)


def _settings(describe_computer: bool) -> dict[str, Any]:
    """Return settings with which wandb writes only to the run folder, and sends only what the logger is given."""
    settings: dict[str, Any] = {"silent": True, "console": "off", "save_code": False, "disable_code": True}
    settings["symlink"] = False  # Links would become invalid when the run folder is moved.
    settings["allow_offline_artifacts"] = False  # Otherwise, a table would be lost when the run folder is moved.
    settings["init_timeout"] = 60.0  # Longest time in seconds for which a run waits for the service.
    if not describe_computer:
        settings |= {"disable_git": True, "x_disable_meta": True, "x_disable_stats": True}
        settings |= {"x_disable_machine_info": True, "x_save_requirements": False, "host": "not sent"}
    return settings


@contextmanager
def _data_in(folder: Path) -> Iterator[None]:
    """Within this block, wandb stores copies of tables in a folder, and not in the user's home folder."""
    earlier = os.environ.get(_DATA)
    if earlier is None:
        os.environ[_DATA] = str(folder.absolute())
    try:
        yield
    finally:
        if earlier is None:
            del os.environ[_DATA]


@contextmanager
def _explaining() -> Iterator[None]:
    """Within this block, errors of wandb are explained.

    Raises:
        UserError: W&B cannot be reached, or has refused the run.
    """
    import wandb

    try:
        yield
    except wandb.errors.Error as error:
        reason = shorten(one_line(error), _LONGEST)
        hint = "Check the connection and the login, or store the run without sending it (offline=true)."
        raise UserError(f"W&B could not be used ({reason}). {hint}") from error
