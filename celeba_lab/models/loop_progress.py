"""Corrections to the progress of Lightning's loops in checkpoints that were saved within an epoch."""

from typing import Any


def correct_loop_progress(checkpoint: dict[str, Any]) -> None:
    """Change a checkpoint so that Lightning resumes an epoch exactly where it was interrupted.

    - An interrupted validation pass is restarted. Otherwise, Lightning would skip the batches that had already been
      evaluated, and the metrics would cover only part of the split.
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
    total = validation["total"]
    is_validated = validation["is_last_batch"] and 0 < total["ready"] == total["completed"]
    validation["current"].update(dict.fromkeys(validation["current"], 0))
    batches = training["current"]
    if not training["is_last_batch"] or batches["processed"] < batches["ready"] or is_validated:
        return
    for counts in (training["current"], training["total"]):
        counts["completed"] = counts["processed"]
    # With these counts, Lightning assumes that the first validation batch was interrupted.
    total.update(ready=1, started=1, processed=0, completed=0)
