"""An error for training runs that diverge."""

from collections.abc import Sequence

import lightning as L

from celeba_lab.errors import DivergenceError


def divergence_error(model: L.LightningModule, quantities: Sequence[str]) -> DivergenceError:
    """Return the error for a run whose losses or weights are no longer finite.

    Args:
        model: Model attached to a trainer. If the model defines ``divergence_advice``, the error message contains this
            advice.
        quantities: Names of the quantities that are not finite, such as ``training loss``.

    Example:
        >>> model = L.LightningModule()
        >>> model.trainer = L.Trainer(barebones=True, accelerator="cpu")
        >>> print(divergence_error(model, ["training loss"]))
        Training diverged in epoch 1, step 0: the training loss is NaN or infinite. Lower the learning rate.
    """
    advice = getattr(model, "divergence_advice", "Lower the learning rate")
    if not str(model.trainer.precision).startswith(("32", "64")):
        advice += ", or train in float32 (precision=32-true)"
    verb = "is" if len(quantities) == 1 and not quantities[0].endswith("weights") else "are"
    return DivergenceError(
        f"Training diverged in epoch {model.current_epoch + 1}, step {model.global_step}:"
        f" the {' and the '.join(quantities)} {verb} NaN or infinite. {advice}."
    )
