"""Draw synthetic faces with CelebA's attributes and folder layout."""

from pathlib import Path
from time import perf_counter

from omegaconf import DictConfig

from celeba_lab.console import Progress, command_line, console, format_override
from celeba_lab.data.synthetic.faces import draw_faces
from celeba_lab.data.synthetic.settings import DEFAULT_N, Settings, find_settings
from celeba_lab.engine.labels import build_faces
from celeba_lab.errors import check_at_least
from celeba_lab.reports.synthetic import report_synthetic
from celeba_lab.runs.run import Run


def synthesize(
    cfg: DictConfig,
    n: int = DEFAULT_N,
    proportions: str = "default",
    workers: int | None = None,
    overwrite: bool = False,
) -> dict[str, float]:
    """Draw synthetic faces, save them in ``data.root``, and write a report.

    Args:
        cfg: Configuration of the run. ``seed`` determines the faces.
        n: Number of faces to draw.
        proportions: Proportions of the train, val and test splits, either ``default`` or ``official``.
        workers: Number of processes. Defaults to the number of CPU cores.
        overwrite: If true, draw the faces again even if the folder already contains synthetic faces.

    Returns:
        The metrics ``images`` and, if the faces were drawn by this run, ``images_per_second``.

    Raises:
        UserError: The folder contains other files, or cannot be written to.
    """
    settings = Settings(n, cfg.seed, proportions)
    check_at_least("workers", workers, 1)
    run = Run.open(cfg)
    root = Path(cfg.data.root)
    is_new = overwrite or find_settings(root) is None
    start = perf_counter()
    draw_faces(root, settings, workers, overwrite)
    seconds = perf_counter() - start
    faces = build_faces(cfg.data)
    console.print(faces.describe())
    with Progress("writing the report"):
        report_synthetic(run, faces, n, cfg.seed)
    metrics = {"images": float(n)} | ({"images_per_second": n / seconds} if is_new else {})
    train = ["experiment=smile", "data=synthetic", format_override("data.root", root)]
    return run.finish(metrics, data=faces.facts(), next_commands=[("train", command_line(train))])
