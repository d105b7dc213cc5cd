"""The audit with a classifier that reads attributes from pixels, so all results are known."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.reports.gan.audit import Audit, report_audit
from celeba_lab.runs.folder import RunFolder

NAMES = ["Smiling", "Eyeglasses", "Male"]


class Reader(nn.Module):
    """Classifier that predicts attribute k if pixel k of the first row is bright."""

    attributes = NAMES
    device = torch.device("cpu")
    threshold = 0.5

    def probabilities(self, images: torch.Tensor) -> torch.Tensor:
        return (images[:, 0, 0, : len(NAMES)] >= 128).float()


class Painter:
    """Generator that draws attributes as pixels, but eyeglasses only for every second face."""

    network = SimpleNamespace(image_size=16)

    def __init__(self, conditional: bool = True) -> None:
        self.attributes = ["Smiling", "Eyeglasses", "Young"] if conditional else []
        self.truncations: set[float | None] = set()

    def sample(self, n, seed=None, truncation=None, requested=None):
        self.truncations.add(truncation)
        seen = np.random.default_rng(seed).random((n, 3)) < (0.5, 0.2, 0.4)
        for name, value in (requested or {}).items():
            if name in NAMES:
                seen[:, NAMES.index(name)] = value
        if (requested or {}).get("Eyeglasses"):
            seen[1::2, 1] = False
        faces = torch.zeros(n, 3, 16, 16, dtype=torch.uint8)
        faces[:, 0, 0, :3] = torch.from_numpy(seen).to(torch.uint8) * 255
        return faces, None


@pytest.fixture(scope="module")
def audited(tiny_celeba: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict, CelebADataModule]:
    data = CelebADataModule(str(tiny_celeba), NAMES, image_size=16, partitions=["train", "val"])
    data.setup_split("val")
    folder = tmp_path_factory.mktemp("audit")
    painter = Painter()
    metrics = report_audit(RunFolder(folder), Audit(painter, Reader(), seed=5, truncation=0.8), data, "title")
    assert painter.truncations == {0.8}
    return folder, metrics, data


@pytest.fixture(scope="module")
def real(audited) -> tuple[np.ndarray, np.ndarray]:
    """Labels of the validation faces, and the classifier's predictions."""
    _, _, data = audited
    rows = data.split_indices("val")
    images = torch.cat([batch["image"] for batch in data.rows_dataloader(rows)])
    labels = data.annotations.labels[rows][:, data.annotations.columns(NAMES)]
    return labels == 1, (images[:, 0, 0, :3] >= 128).numpy()


def test_prevalences_in_generated_and_real_faces_are_compared(audited, real) -> None:
    folder, metrics, _ = audited
    table = pd.read_csv(folder / "tables" / "audit_attributes.csv").set_index("attribute")
    labels, seen = real
    drawn = np.random.default_rng(5).random((2000, 3)) < (0.5, 0.2, 0.4)
    assert table["labels"].tolist() == pytest.approx(labels.mean(axis=0))
    assert table["real"].tolist() == pytest.approx(seen.mean(axis=0))
    assert table["generated"].tolist() == pytest.approx(drawn.mean(axis=0))
    assert table["accuracy"].tolist() == pytest.approx((labels == seen).mean(axis=0))
    assert metrics["audit/accuracy"] == pytest.approx((labels == seen).mean())
    assert metrics["audit/prevalence_error"] == pytest.approx(np.abs(drawn.mean(axis=0) - seen.mean(axis=0)).mean())


def test_conditional_prevalences_in_generated_and_real_faces_are_compared(audited, real) -> None:
    folder, _, _ = audited
    pairs = pd.read_csv(folder / "tables" / "audit_pairs.csv")
    drawn = np.random.default_rng(5).random((2000, 3)) < (0.5, 0.2, 0.4)
    for row in pairs.itertuples():
        a, b = NAMES.index(row.A), NAMES.index(row.B)
        assert row.images_generated == drawn[:, b].sum()
        assert row.generated == pytest.approx(drawn[drawn[:, b], a].mean())
    assert len(pairs) == 6
    difference = pd.read_csv(folder / "tables" / "audit_conditional_difference.csv", index_col=0)
    assert difference.isna().all(axis=None)  # Eight real faces are too few for conditional prevalences.


def test_agreement_on_generated_and_real_faces_is_compared(audited, real) -> None:
    folder, metrics, _ = audited
    table = pd.read_csv(folder / "tables" / "audit_requested.csv").set_index(["attribute", "requested"])
    # The classifier does not predict Young.
    assert set(table.index) == {(name, value) for name in ("Smiling", "Eyeglasses") for value in (0, 1)}
    assert table["agreement"].to_dict() == {
        ("Smiling", 1): 1.0, ("Smiling", 0): 1.0, ("Eyeglasses", 1): 0.5, ("Eyeglasses", 0): 1.0
    }  # fmt: skip
    assert (metrics["audit/agreement/Smiling"], metrics["audit/agreement/Eyeglasses"]) == (1.0, 0.5)
    labels, seen = real
    for (name, value), row in table.iterrows():
        alike = labels[:, NAMES.index(name)] == bool(value)
        assert row["real_faces"] == alike.sum()
        assert row["agreement_on_real"] == pytest.approx((seen[alike, NAMES.index(name)] == bool(value)).mean())
    for name in ("audit_attributes", "audit_requested", "audit_conditional_difference"):
        assert (folder / "figures" / f"{name}.png").exists()


def test_an_audit_shows_its_progress(audited, tmp_path: Path, work_shown: dict[str, str]) -> None:
    _, _, data = audited
    report_audit(RunFolder(tmp_path), Audit(Painter(), Reader(), seed=5), data, "title")
    assert work_shown["auditing the requested attributes"] == "2/2 attributes"
    assert {"auditing the faces", "reading faces", "classifying faces"} <= set(work_shown)


def test_an_unconditional_generator_is_audited_without_requests(audited, tmp_path: Path) -> None:
    _, _, data = audited
    metrics = report_audit(RunFolder(tmp_path), Audit(Painter(conditional=False), Reader(), seed=5), data, "title")
    assert set(metrics) == {"audit/accuracy", "audit/prevalence_error"}
    assert not (tmp_path / "tables" / "audit_requested.csv").exists()
