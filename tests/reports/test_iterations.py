"""The iterations of t-SNE are shown as progress, and other output is still printed."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from celeba_lab.console import Progress
from celeba_lab.reports.iterations import fit_with_progress

POINTS = np.random.default_rng(0).normal(size=(60, 5))


@pytest.fixture
def updates(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float | None]]:
    seen: list[tuple[float, float | None]] = []
    monkeypatch.setattr(Progress, "update", lambda self, done, note="": seen.append((done, self.total)))
    return seen


def test_the_iterations_of_tsne_are_counted_but_not_printed(updates, capsys):
    tsne = TSNE(perplexity=5, max_iter=300, random_state=0)
    positions = fit_with_progress(tsne, POINTS, "t-SNE")
    assert [done for done, _ in updates] == [50, 100, 150, 200, 250, 300]
    assert {total for _, total in updates} == {300}
    assert capsys.readouterr().out == ""
    alone = TSNE(perplexity=5, max_iter=300, random_state=0).fit_transform(POINTS)
    assert np.array_equal(positions, alone)


def test_other_output_is_still_printed(capsys):
    class Talking(TSNE):
        def fit_transform(self, points, y=None):
            print("a line from another function")
            return super().fit_transform(points, y)

    Talking.__name__ = "TSNE"
    fit_with_progress(Talking(perplexity=5, max_iter=250), POINTS, "t-SNE")
    assert capsys.readouterr().out == "a line from another function\n"


def test_an_estimator_without_iterations_is_fitted_unchanged(updates):
    assert fit_with_progress(PCA(n_components=2), POINTS, "PCA").shape == (60, 2)
    assert updates == []
