"""Count which attributes occur together."""

from omegaconf import DictConfig

from celeba_lab.analyses.cooccurrence import Cooccurrence, pair_table
from celeba_lab.analyses.sampling import check_several
from celeba_lab.console import Progress
from celeba_lab.engine.labels import build_faces, sample_labels
from celeba_lab.errors import check_positive_fraction
from celeba_lab.reports.cooccurrence import show_cooccurrence, write_cooccurrence
from celeba_lab.runs.run import Run


def cooccurrence(cfg: DictConfig, attributes: list[str] | None = None, fraction: float = 1.0) -> dict[str, float]:
    """Write joint counts, P(A | B), lift, phi and pointwise mutual information for every pair of attributes.

    Args:
        cfg: Configuration of the run.
        attributes: Names of at least two attributes. Defaults to all 40 attributes.
        fraction: Fraction of the rows to use.

    Returns:
        The metrics ``images``, ``phi/largest`` and ``phi/smallest``.

    Raises:
        UserError: A setting or the data cannot be used.
    """
    check_several(attributes)
    check_positive_fraction("fraction", fraction)
    run = Run.open(cfg)
    sample = sample_labels(run, build_faces(cfg.data, attributes), fraction)
    names = sample.attributes
    with run.timed("compute"), Progress("counting the pairs of attributes"):
        found = Cooccurrence.of(sample.labels)
    pairs = pair_table(found, names)
    with run.reporting(), Progress("writing the report"):
        write_cooccurrence(run, found, pairs, names, sample.title)
    metrics = {
        "images": float(found.n),
        "phi/largest": float(pairs["phi"].max()),
        "phi/smallest": float(pairs["phi"].min()),
    }
    show_cooccurrence(pairs, sample.title)
    return run.finish(metrics, data=sample.data.facts(), details={"rows": found.n})
