"""When training diverges, the error names the quantities that are NaN or infinite, and gives advice."""

import lightning as L
import pytest

from celeba_lab.models.divergence import divergence_error


class Advised(L.LightningModule):
    divergence_advice = "Lower lr"


def message(quantities: list[str], precision: str = "32-true") -> str:
    model = Advised()
    model.trainer = L.Trainer(barebones=True, accelerator="cpu", precision=precision)
    return str(divergence_error(model, quantities))


@pytest.mark.parametrize(
    ("quantities", "sentence"),
    [
        (["training loss"], "the training loss is NaN or infinite."),
        (["generator weights"], "the generator weights are NaN or infinite."),
        (
            ["generator loss", "discriminator loss"],
            "the generator loss and the discriminator loss are NaN or infinite.",
        ),
    ],
)
def test_the_verb_agrees_with_the_quantities(quantities: list[str], sentence: str) -> None:
    assert sentence in message(quantities)


def test_float32_is_suggested_only_for_a_lower_precision() -> None:
    assert message(["training loss"]).endswith("infinite. Lower lr.")
    assert message(["training loss"], "bf16-mixed").endswith(
        "infinite. Lower lr, or train in float32 (precision=32-true)."
    )
