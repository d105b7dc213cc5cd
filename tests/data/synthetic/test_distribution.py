"""Sampled labels have the joint distribution of CelebA's labels."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from celeba_lab.data.annotations import Annotations
from celeba_lab.data.attributes import ATTRIBUTES
from celeba_lab.data.synthetic.distribution import TABLE, AttributeDistribution
from celeba_lab.data.synthetic.fit_distribution import compare, conditional, fit


def test_a_larger_sample_begins_with_the_smaller_sample() -> None:
    model = AttributeDistribution.load()
    small, large = model.sample(50, seed=1), model.sample(80, seed=1)
    assert small.shape == (50, 40)
    assert small.dtype == np.uint8
    assert np.array_equal(small, large[:50])
    assert not np.array_equal(small, model.sample(50, seed=2))


def test_the_packaged_table_describes_itself_and_contains_only_coefficients() -> None:
    text = TABLE.read_text()
    assert text.startswith("# A model of the joint distribution of CelebA's forty attributes")
    assert "no rows of the data" in text
    table = pd.read_csv(TABLE, comment="#", index_col="attribute")
    assert sorted(table.index) == sorted(ATTRIBUTES)
    assert table.shape == (40, 41)
    assert np.isnan(table.iloc[:, 1:].to_numpy()[np.triu_indices(40)]).all()


def test_contradictory_attributes_rarely_occur_together() -> None:
    labels = AttributeDistribution.load().sample(50_000, seed=0)
    given = pd.DataFrame(conditional(labels), ATTRIBUTES, ATTRIBUTES)
    assert given.loc["Blond_Hair", "Black_Hair"] < 0.02
    assert given.loc["Goatee", "No_Beard"] < 0.01
    assert given.loc["Male", "Mustache"] > 0.97


def test_a_chain_fitted_to_its_own_samples_is_recovered() -> None:
    labels = np.random.default_rng(0).random((4_000, 40)) < np.linspace(0.1, 0.9, 40)
    labels[:, 1] = labels[:, 0] ^ (np.random.default_rng(1).random(4_000) < 0.1)
    drawn = fit(labels.astype(np.int8)).sample(20_000, seed=0)
    assert np.abs(drawn.mean(axis=0) - labels.mean(axis=0)).max() < 0.02
    assert conditional(drawn)[1, 0] == pytest.approx(conditional(labels)[1, 0], abs=0.03)


def test_two_hundred_thousand_samples_match_celeba(shared: Path) -> None:
    real = Annotations.load(shared / "celeba").labels
    drawn = AttributeDistribution.load().sample(200_000, seed=1)
    assert np.abs(drawn.mean(axis=0) - real.mean(axis=0)).max() <= 0.005
    gap = np.abs(conditional(drawn) - conditional(real))[:, real.mean(axis=0) >= 0.02]
    np.fill_diagonal(gap, 0)
    assert gap.sum() / (gap.size - (real.mean(axis=0) >= 0.02).sum()) <= 0.006
    assert gap.max() <= 0.09
    print(compare(real, drawn))
