"""Measure the speed and the memory of this framework, beside plain reference loops."""

from pathlib import Path
from tempfile import TemporaryDirectory

from omegaconf import DictConfig

from celeba_lab.benchmarks.machine import describe_machine
from celeba_lab.benchmarks.results import SECTIONS, Result, results_metrics, results_table
from celeba_lab.benchmarks.sections import measure_section
from celeba_lab.benchmarks.workplace import Sizes, Workplace
from celeba_lab.console import console
from celeba_lab.engine.labels import build_faces
from celeba_lab.errors import SettingError, UserError, check_choice
from celeba_lab.reports.benchmark import describe_load, show_section, write_benchmark
from celeba_lab.runs.run import Run

# The data folders of the measurements contain links to a number of faces, so these settings do not apply to them.
_OWN_DATA = ("data=", "data.root=", "data.limit=", "data.store=", "data.cache=", "data.partitions=", "data.name=")


def benchmark(
    cfg: DictConfig,
    sections: list[str] | None = None,
    images: int = 2000,
    epochs: int = 2,
    steps: int = 50,
    inference_images: int = 8000,
    growth: list[int] | None = None,
    workers: int = 2,
    repeats: int = 3,
    seconds: float = 2.0,
    image_size: int | None = None,
    backbone: str | None = None,
    initial_weights: str | None = "auto",
    scratch: str | None = None,
) -> dict[str, float]:
    """Measure sections of the benchmark, and write tables, a figure and an HTML page.

    Args:
        cfg: Configuration of the run.
        sections: Names of the sections to measure. Default: all.
        images: Number of faces in most measurements; see :class:`~celeba_lab.benchmarks.workplace.Sizes`, which also
            describes the following arguments.
        epochs: Number of epochs of a measured training run.
        steps: Number of batches of the reference loops and of the bare training steps.
        inference_images: Number of faces that are classified.
        growth: Numbers of faces with which the time per face is measured. Default: 1,000, 2,000, 4,000 and 8,000.
        workers: Number of worker processes, which is compared with none.
        repeats: Number of times that everything is measured.
        seconds: Duration of each measurement of an input pipeline in seconds.
        image_size: Side length of the images in pixels. Default: that of each recipe.
        backbone: Name of the backbone. Default: that of the recipes.
        initial_weights: Origin of the initial weights of classifiers.
        scratch: Folder for temporary files. Default: that of the system.

    Returns:
        The median of each measurement, as ``section/measurement/candidate``.

    Raises:
        UserError: A setting or the data cannot be used, or nothing could be measured.
    """
    for name in sections or ():
        check_choice("sections", name, SECTIONS)
    if scratch is not None and not Path(scratch).is_dir():
        raise SettingError("scratch", scratch, "is not a folder")
    sizes = Sizes(
        *(images, epochs, steps, inference_images, growth or (1000, 2000, 4000, 8000), workers, repeats, seconds),
        *(image_size, backbone, initial_weights),
    )
    run = Run.open(cfg)
    data, machine = build_faces(cfg.data), describe_machine()
    for split in (split for split in data.partitions if data.counts[split]):
        data.setup_split(split)
    console.print(data.describe())
    console.print(f"machine: {machine['processor']}, {machine['cores']} cores, {machine['memory']}", soft_wrap=True)
    results: list[Result] = []
    with TemporaryDirectory(prefix="celeba_lab_benchmark_", dir=scratch, ignore_cleanup_errors=True) as folder:
        place = Workplace(Path(folder).resolve(), data, sizes, _forwarded_overrides(run))
        for name in [name for name in SECTIONS if name in (sections or SECTIONS)]:
            with run.timed(name):
                results += measure_section(name, place)
            show_section(results_table(results), name)
    if not any(result.values for result in results):
        raise UserError(f"Nothing could be measured. {results[0].note}")
    table = results_table(results)
    with run.timed("report"):
        write_benchmark(run, table, machine, data)
    console.print(describe_load(table), style="yellow", soft_wrap=True)
    return run.finish(results_metrics(results), data=data.facts(), details={"machine": machine})


def _forwarded_overrides(run: Run) -> list[str]:
    """Return the overrides of the Trainer and of the loaders, which all measured commands use as well."""
    loaders = [text for text in run.data_overrides if not text.startswith(_OWN_DATA)]
    return [text for text in run.overrides if text.startswith("trainer")] + loaders
