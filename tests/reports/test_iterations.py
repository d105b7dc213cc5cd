"""The iterations of t-SNE are shown as progress, and other output is still printed."""

import sys
from threading import Event

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from celeba_lab.console import Progress
from celeba_lab.reports.iterations import BackgroundFit

POINTS = np.random.default_rng(0).normal(size=(60, 5))


@pytest.fixture
def updates(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float | None]]:
    seen: list[tuple[float, float | None]] = []
    monkeypatch.setattr(Progress, "update", lambda self, done, note="": seen.append((done, self.total)))
    return seen


def test_the_iterations_of_tsne_are_counted_but_not_printed(updates, capsys):
    tsne = TSNE(perplexity=5, max_iter=300, random_state=0)
    before = sys.stdout
    fit = BackgroundFit(tsne, POINTS, "t-SNE")
    positions = fit.wait()
    assert sys.stdout is before
    assert 0 < fit.seconds < 60
    assert updates[-1] == (300, 300)
    assert {done for done, _ in updates} <= {0, 50, 100, 150, 200, 250, 300}
    assert capsys.readouterr().out == ""
    alone = TSNE(perplexity=5, max_iter=300, random_state=0).fit_transform(POINTS)
    assert np.array_equal(positions, alone)


def test_other_output_is_still_printed(capsys):
    class Talking(TSNE):
        def fit_transform(self, points, y=None):
            print("a line from another function")
            return super().fit_transform(points, y)

    Talking.__name__ = "TSNE"
    BackgroundFit(Talking(perplexity=5, max_iter=250), POINTS, "t-SNE").wait()
    assert capsys.readouterr().out == "a line from another function\n"


def test_an_estimator_without_iterations_is_fitted_unchanged(updates):
    assert BackgroundFit(PCA(n_components=2), POINTS, "PCA").wait().shape == (60, 2)
    assert updates == []


def test_a_report_can_go_on_and_print_during_a_fit(capsys):
    may_end = Event()

    class Slow(TSNE):
        def fit_transform(self, points, y=None):
            assert may_end.wait(60)
            return super().fit_transform(points, y)

    Slow.__name__ = "TSNE"
    fit = BackgroundFit(Slow(perplexity=5, max_iter=250), POINTS, "t-SNE")
    print()
    print("a line of the report")
    may_end.set()
    assert fit.wait().shape == (60, 2)
    assert capsys.readouterr().out == "\na line of the report\n"


def test_an_error_of_the_estimator_is_raised_by_wait():
    fit = BackgroundFit(TSNE(perplexity=100), POINTS, "t-SNE")
    with pytest.raises(ValueError, match="perplexity"):
        fit.wait()
