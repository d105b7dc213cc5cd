"""Draw faces with CelebA's attributes into a folder in CelebA's layout."""

from pathlib import Path
from time import perf_counter

from omegaconf import DictConfig

from celeba_lab.console import command_line, console, override
from celeba_lab.data.attributes import ATTRIBUTES
from celeba_lab.data.synthetic.datamodule import draw_faces
from celeba_lab.data.synthetic.settings import DEFAULT_N, Settings, find_settings
from celeba_lab.engine.build import build_datamodule
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
    """Draw ``n`` faces into ``data.root``, and show some of them.

    Args:
        cfg: Configuration of the run; the faces depend on its ``seed``.
        n: Number of faces to draw.
        proportions: How the faces are divided among train, val and test: ``default`` or ``official``.
        workers: Number of processes; one for each core by default.
        overwrite: If true, draw the faces again even if the folder already holds drawn faces.

    Returns:
        ``images``, and ``images_per_second`` if the faces were drawn.

    Raises:
        UserError: The folder holds something else, or cannot be written.
    """
    settings = Settings(n, cfg.seed, proportions)
    check_at_least("workers", workers, 1)
    run = Run.open(cfg)
    root = Path(cfg.data.root)
    is_new = overwrite or find_settings(root) is None
    start = perf_counter()
    draw_faces(root, settings, workers, overwrite)
    seconds = perf_counter() - start
    datamodule = build_datamodule(cfg.data, ATTRIBUTES, image_size=128)
    console.print(datamodule.describe())
    report_synthetic(run, datamodule, n, cfg.seed)
    metrics = {"images": float(n)} | ({"images_per_second": n / seconds} if is_new else {})
    train = ["experiment=smile", "data=synthetic", override("data.root", root)]
    return run.finish(metrics, data=datamodule.facts(), next_commands=[("train", command_line(train))])
