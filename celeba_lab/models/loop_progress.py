"""Corrections to the progress of Lightning's loops in checkpoints that were saved within an epoch."""

from typing import Any

import lightning as L


def note_validation(trainer: L.Trainer, validated: int) -> dict[str, Any]:
    """Return what :func:`correct_loop_progress` has to know about the validation, as part of a checkpoint.

    Args:
        trainer: The Trainer.
        validated: Number of training batches in the whole run before the last complete validation.

    Returns:
        Whether a validation is due after the last training batch, and ``validated``.
    """
    loop: Any = trainer.fit_loop.epoch_loop
    fetcher = trainer.fit_loop._data_fetcher
    return {"is_due": fetcher is not None and bool(loop._should_check_val_fx(fetcher)), "validated": validated}


def correct_loop_progress(checkpoint: dict[str, Any]) -> None:
    """Change a checkpoint so that Lightning resumes an epoch exactly where it was interrupted.

    - An interrupted validation is restarted. Otherwise, Lightning would skip the batches that had already been
      evaluated, and the metrics would cover only part of the split.
    - A validation that is due after the last training batch, but has not been completed, is done first. Otherwise,
      Lightning would continue with the next training batch.
    - If the last training batch of an epoch has been processed, the epoch still has to be validated and ended. If the
      checkpoint was saved at the end of that batch, Lightning would continue with the next epoch instead.

    Args:
        checkpoint: Checkpoint that Lightning is about to load.
    """
    fit_loop = checkpoint.get("loops", {}).get("fit_loop", {})
    training = fit_loop.get("epoch_loop.batch_progress")
    validation = fit_loop.get("epoch_loop.val_loop.batch_progress")
    if training is None or validation is None:
        return
    total, batches = validation["total"], training["current"]
    note = checkpoint.get("validation")
    if note is None:  # a model without validation, or an earlier version of celeba_lab
        is_done = validation["is_last_batch"] and 0 < total["ready"] == total["completed"]
        is_pending = training["is_last_batch"] and not is_done
    else:
        is_done = note["validated"] == training["total"]["processed"]
        is_pending = (training["is_last_batch"] or note["is_due"]) and not is_done
    validation["current"].update(dict.fromkeys(validation["current"], 0))
    if batches["processed"] < batches["ready"] or not is_pending:
        return
    for counts in (training["current"], training["total"]):
        counts["completed"] = counts["processed"]
    # With these counts, Lightning assumes that the first validation batch was interrupted.
    total.update(ready=1, started=1, processed=0, completed=0)
