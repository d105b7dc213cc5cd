"""The iterations of t-SNE are shown as progress, and other output is still printed."""

import sys
from threading import Event
from threading import enumerate as enumerate_threads

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_info

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
    with BackgroundFit(tsne, POINTS, "t-SNE") as fit:
        positions = fit.wait()
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
    with BackgroundFit(Talking(perplexity=5, max_iter=250), POINTS, "t-SNE") as fit:
        fit.wait()
    assert capsys.readouterr().out == "a line from another function\n"


def test_an_estimator_without_iterations_is_fitted_unchanged(updates):
    with BackgroundFit(PCA(n_components=2), POINTS, "PCA") as fit:
        assert fit.wait().shape == (60, 2)
    assert updates == []


def test_a_report_can_go_on_and_print_during_a_fit(capsys):
    may_end = Event()

    class Slow(TSNE):
        def fit_transform(self, points, y=None):
            assert may_end.wait(60)
            return super().fit_transform(points, y)

    Slow.__name__ = "TSNE"
    with BackgroundFit(Slow(perplexity=5, max_iter=250), POINTS, "t-SNE") as fit:
        print()
        print("a line of the report")
        may_end.set()
        assert fit.wait().shape == (60, 2)
    assert capsys.readouterr().out == "\na line of the report\n"


def test_an_error_of_the_estimator_is_raised_by_wait():
    with BackgroundFit(TSNE(perplexity=100), POINTS, "t-SNE") as fit, pytest.raises(ValueError, match="perplexity"):
        fit.wait()


def test_an_error_of_the_report_stops_a_fit_and_restores_everything(capsys):
    before, threads = (sys.stdout, sys.getswitchinterval()), threadpool_info()
    fit = BackgroundFit(TSNE(perplexity=5, max_iter=10**8, n_iter_without_progress=10**8), POINTS, "t-SNE")
    with pytest.raises(ZeroDivisionError), fit:
        raise ZeroDivisionError
    assert (sys.stdout, sys.getswitchinterval()) == before
    assert threadpool_info() == threads
    assert not [thread for thread in enumerate_threads() if thread.daemon and thread.name.endswith("(_fit)")]
    assert capsys.readouterr().out == ""


def test_other_computations_do_not_change_the_result():
    tsne = TSNE(perplexity=5, max_iter=250, init="pca", random_state=0)
    threads = threadpool_info()
    found = []
    for _ in range(3):
        with BackgroundFit(clone(tsne), POINTS, "t-SNE") as fit:
            for seed in range(5):
                MiniBatchKMeans(3, random_state=seed, n_init=1).fit(POINTS)
            found.append(fit.wait())
    with BackgroundFit(clone(tsne), POINTS, "t-SNE") as fit:
        assert all(np.array_equal(positions, fit.wait()) for positions in found)
    assert threadpool_info() == threads
