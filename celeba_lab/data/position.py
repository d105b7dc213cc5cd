"""The position in the training data, which checkpoints store so that resumed runs continue with the next batch."""

from dataclasses import asdict, dataclass
from typing import Any

import lightning
from typing_extensions import override

from celeba_lab.errors import UserError


@dataclass(frozen=True, order=True)
class Position:
    """A position in the training data. Later positions are greater.

    Attributes:
        epoch: Index of the epoch, counted from 0.
        batches: Number of batches in this epoch that have already been used for training.

    Example:
        >>> Position(epoch=1, batches=0) > Position(epoch=0, batches=9)
        True
    """

    epoch: int = 0
    batches: int = 0

    @classmethod
    def of(cls, trainer: lightning.Trainer) -> "Position":
        """Return the position of the next training batch of a Trainer."""
        loop = trainer.fit_loop.epoch_loop
        epochs: Any = trainer.fit_loop.epoch_progress.current
        batches: Any = loop.batch_progress.current
        if epochs.processed == epochs.ready:  # This also holds if max_steps or max_time has ended the epoch.
            return cls(epochs.ready)
        # A batch that was interrupted is used again.
        return cls(epochs.processed, batches.processed)


class ResumableData(lightning.LightningDataModule):
    """Base class of data modules that store the position in the training data in checkpoints.

    Lightning restores its own counters only after the training loader has been created for a learning-rate schedule
    that needs the number of steps. The state of a data module is restored earlier.
    """

    def __init__(self) -> None:
        super().__init__()
        self._resumed = Position()

    @property
    def position(self) -> Position:
        """Position of the next training batch."""
        return self._resumed if self.trainer is None else max(self._resumed, Position.of(self.trainer))

    @property
    def order(self) -> str | None:
        """What the order of the training images depends on, apart from the seed, or None if on nothing else."""
        return None

    @override
    def state_dict(self) -> dict[str, Any]:
        order = {} if self.order is None else {"order": self.order}
        return asdict(self.position) | order

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        position = dict(state_dict)
        if position.pop("order", None) != self.order:
            raise UserError(
                "The order of the training images depends on the shards, and the run was started with other shards or"
                " without shards. Resume it with the same data.store and with the same shards as before."
            )
        self._resumed = Position(**position)
