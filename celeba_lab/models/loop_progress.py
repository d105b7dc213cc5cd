"""Corrections to the progress of Lightning's loops in checkpoints that were saved within an epoch."""

from typing import Any

import lightning as L


def note_validation(trainer: L.Trainer, validated: int) -> dict[str, Any]:
    """Return what :func:`correct_loop_progress` has to know about the validation, as part of a checkpoint.

    Args:
        trainer: The Trainer.
        validated: Number of training batches in the whole run before the last complete validation.

    Returns:
        Whether Lightning would validate after the last processed batch, whether the optimizer has used this batch, and
        ``validated``.
    """
    loop: Any = trainer.fit_loop.epoch_loop
    fetcher, progress = trainer.fit_loop._data_fetcher, loop.batch_progress
    ready, is_last = progress.current.ready, progress.is_last_batch
    try:  # A batch that was interrupted does not count.
        progress.current.ready = progress.current.processed
        progress.is_last_batch = is_last and ready == progress.current.processed
        is_due = fetcher is not None and bool(loop._should_check_val_fx(fetcher))
    finally:
        progress.current.ready, progress.is_last_batch = ready, is_last
    is_used = progress.current.processed % trainer.accumulate_grad_batches == 0
    return {"is_due": is_due, "is_used": is_used, "validated": validated}


def correct_loop_progress(checkpoint: dict[str, Any]) -> dict[str, int] | None:
    """Change a checkpoint so that Lightning resumes an epoch exactly where it was interrupted.

    - A training batch that was interrupted is used again. Lightning would count it twice.
    - An interrupted validation is restarted. Otherwise, Lightning would skip the batches that had already been
      evaluated, and the metrics would cover only part of the split.
    - A validation that is due after the last training batch, but has not been completed, is done first. Otherwise,
      Lightning would continue with the next training batch.
    - If the last training batch of an epoch has been processed, the epoch still has to be validated and ended. If the
      checkpoint was saved at the end of that batch, Lightning would continue with the next epoch instead.

    Args:
        checkpoint: Checkpoint that Lightning is about to load.

    Returns:
        If a validation has to be done first, the progress of the complete validations of the epoch. It must be restored
        by :func:`restore_validation_progress` when the validation starts.
    """
    fit_loop = checkpoint.get("loops", {}).get("fit_loop", {})
    training = fit_loop.get("epoch_loop.batch_progress")
    validation = fit_loop.get("epoch_loop.val_loop.batch_progress")
    if training is None or validation is None:
        return None
    current, total = training["current"], training["total"]
    if current["processed"] < current["ready"]:
        training["is_last_batch"] = False
        for counts in (current, total):
            counts.update(dict.fromkeys(("ready", "started", "completed"), counts["processed"]))
    is_last = training["is_last_batch"]
    is_pending, is_due, is_used = _read_note(checkpoint.get("validation"), training, validation)
    is_interrupted = (
        not validation["is_last_batch"] or validation["current"]["completed"] < validation["current"]["ready"]
    )
    complete = {
        name: count - (validation["current"][name] if is_interrupted else 0)
        for name, count in validation["total"].items()
    }
    validation["current"].update(dict.fromkeys(validation["current"], 0))
    is_counted = current["completed"] == current["processed"]
    steps = fit_loop["epoch_loop.state_dict"]
    if is_pending:
        current["completed"], total["completed"] = current["processed"], total["processed"]
        # With these counts, Lightning assumes that the first validation batch was interrupted.
        validation["total"].update(ready=1, started=1, processed=0, completed=0)
        if is_used and not is_due and not is_counted:  # Lightning ends the epoch without counting its last batch.
            steps["_batches_that_stepped"] += 1
        return complete
    if is_used and is_due and is_counted and not is_last:
        # Lightning skips the validation, which has been done, but counts the batch before it again.
        steps["_batches_that_stepped"] -= 1
    return None


def restore_validation_progress(trainer: L.Trainer, complete: dict[str, int]) -> None:
    """Restore the progress of the complete validations of an epoch; see :func:`correct_loop_progress`."""
    progress: Any = trainer.fit_loop.epoch_loop.val_loop.batch_progress
    for name, count in complete.items():
        setattr(progress.total, name, count)


def _read_note(
    note: dict[str, Any] | None, training: dict[str, Any], validation: dict[str, Any]
) -> tuple[bool, bool, bool]:
    """Return whether a validation or the end of the epoch is pending, and the other facts in a note.

    Args:
        note: Return value of :func:`note_validation`, or None for models without validation and for checkpoints of
            earlier versions.
        training: Progress of training.
        validation: Progress of the last validation.
    """
    is_last, is_first = training["is_last_batch"], training["current"]["processed"] == 0
    if note is None:
        counts = validation["total"]
        is_done = validation["is_last_batch"] and 0 < counts["ready"] == counts["completed"]
        return is_last and not is_done, False, True
    is_done = note["validated"] == training["total"]["processed"]
    return (is_last or note["is_due"]) and not is_done and not is_first, note["is_due"], note["is_used"]
