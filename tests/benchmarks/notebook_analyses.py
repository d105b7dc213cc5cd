"""Compare the speed of celeba_lab's logistic regressions and P(A | B) with that of the 2024 notebook's code.

    python tests/benchmarks/notebook_analyses.py --data path/to/celeba

Both versions run alternately in one process, on annotations that have already been read. The script prints their times
in seconds and the ratio. Reading the data and writing tables and figures are not included.
"""

import argparse
import resource
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import pandas as pd
from hydra.utils import instantiate
from omegaconf import OmegaConf
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score
from sklearn.model_selection import train_test_split

from celeba_lab.analyses.cooccurrence import Cooccurrence
from celeba_lab.analyses.regression import regress_each
from celeba_lab.analyses.sampling import split_randomly
from celeba_lab.data.annotations import Annotations
from celeba_lab.data.attributes import ATTRIBUTES
from celeba_lab.files import config_directory
from celeba_lab.reports.logistic import regression_table


def logistic_in_the_notebook(frame: pd.DataFrame) -> None:
    """Fit a new model on a new split for every attribute, and compute four metrics."""
    for name in frame.columns:
        x, y = frame.drop(columns=name), frame[name]
        x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.2, random_state=42)
        said = LogisticRegression(max_iter=1000).fit(x_train, y_train).predict(x_test)
        accuracy_score(y_test, said)
        precision_score(y_test, said, zero_division=1)
        recall_score(y_test, said)
        f1_score(y_test, said)


def logistic_here(annotations: Annotations) -> None:
    """Run the code that ``experiment=logistic`` times as "compute", including its metrics."""
    labels = annotations.labels
    train, test = split_randomly(pd.RangeIndex(len(labels)).to_numpy(), 0.2, 42)
    classifier = instantiate(OmegaConf.load(config_directory() / "task" / "estimator" / "logistic.yaml"))
    results = list(regress_each(labels[train], labels[test], classifier))
    regression_table(results, labels[test], list(ATTRIBUTES))


def cooccurrence_in_the_notebook(frame: pd.DataFrame) -> None:
    """Average over the selected rows for every ordered pair."""
    table = pd.DataFrame(index=frame.columns, columns=frame.columns, dtype=float)
    for a in frame.columns:
        for b in frame.columns:
            table.loc[a, b] = (frame.loc[frame[b] == 1, a] == 1).mean()


def cooccurrence_here(annotations: Annotations) -> None:
    """Run the code that ``experiment=cooccurrence`` times as "compute"."""
    Cooccurrence.of(annotations.labels)


def _seconds(function: Callable[[], None]) -> float:
    start = perf_counter()
    function()
    return perf_counter() - start


def main() -> None:
    """Time both versions alternately, and print the results."""
    parser = argparse.ArgumentParser(description="Compare the speed of the notebook's analyses with celeba_lab's.")
    parser.add_argument("--data", type=Path, required=True, help="folder with CelebA's annotations")
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    annotations = Annotations.load(arguments.data)
    frame = pd.DataFrame(2 * annotations.labels.astype("int64") - 1, columns=list(ATTRIBUTES))
    for repeat in range(arguments.repeats):
        for name, theirs, ours in (
            ("logistic", logistic_in_the_notebook, logistic_here),
            ("cooccurrence", cooccurrence_in_the_notebook, cooccurrence_here),
        ):
            here = _seconds(lambda ours=ours: ours(annotations))
            there = _seconds(lambda theirs=theirs: theirs(frame))
            print(f"{name} {repeat + 1}: notebook {there:.2f} s, here {here:.3f} s, {there / here:.1f} times faster")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB, for both versions together")


if __name__ == "__main__":
    main()
