"""A model of the joint distribution of CelebA's attributes."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from celeba_lab.data.attributes import ATTRIBUTES

TABLE = Path(__file__).with_name("distribution.csv")


@dataclass(frozen=True)
class AttributeDistribution:
    """A chain of logistic regressions in which each attribute depends on the preceding attributes.

    Attributes:
        order: Names of the forty attributes in the order of the chain.
        intercept: Intercept of each attribute in the order of the chain, float64 (40,).
        weight: Strictly lower triangular weight matrix, float64 (40, 40). Row k contains the weights of the attributes
            that precede attribute k.

    Example:
        >>> chain = AttributeDistribution.load()
        >>> chain.order[0], chain.sample(3, seed=1).shape
        ('No_Beard', (3, 40))
    """

    order: tuple[str, ...]
    intercept: np.ndarray
    weight: np.ndarray

    @classmethod
    def load(cls, path: Path = TABLE) -> "AttributeDistribution":
        """Read a table written by ``fit_distribution.py``. The default is the table fitted to CelebA."""
        table = pd.read_csv(path, comment="#", index_col="attribute")
        order = tuple(table.index)
        return cls(order, table["intercept"].to_numpy(), table[list(order)].fillna(0.0).to_numpy())

    def save(self, path: Path, header: str) -> None:
        """Write the model to a table that starts with ``header`` as a comment."""
        table = pd.DataFrame(self.weight, index=pd.Index(self.order, name="attribute"), columns=self.order)
        table = table.where(np.tri(len(self.order), k=-1, dtype=bool))
        table.insert(0, "intercept", self.intercept)
        comment = "".join(f"# {line}\n" for line in header.splitlines())
        path.write_text(comment + table.to_csv(float_format="%.4f", lineterminator="\n"))

    def sample(self, n: int, seed: int) -> np.ndarray:
        """Sample the labels of ``n`` faces.

        Args:
            n: Number of faces. With the same seed, a larger sample starts with the rows of a smaller sample.
            seed: Seed for sampling, at least 0.

        Returns:
            Binary labels with columns in the order of ``ATTRIBUTES``, uint8 (n, 40).
        """
        chance = np.random.default_rng([seed, 0]).random((n, len(self.order)))
        drawn = np.zeros((n, len(self.order)))
        for k in range(len(self.order)):
            logit = self.intercept[k] + drawn[:, :k] @ self.weight[k, :k]
            drawn[:, k] = chance[:, k] < 1 / (1 + np.exp(-logit))
        columns = [self.order.index(name) for name in ATTRIBUTES]
        return drawn[:, columns].astype(np.uint8)
