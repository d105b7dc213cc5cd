"""Measure the speed and the memory of this framework, beside plain reference loops."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from omegaconf import DictConfig

from celeba_lab.benchmarks.machine import describe_machine
from celeba_lab.benchmarks.results import SECTIONS, Result, results_metrics, results_table
from celeba_lab.benchmarks.sections import measure_section
from celeba_lab.benchmarks.workplace import Sizes, Workplace
from celeba_lab.engine.labels import build_faces
from celeba_lab.errors import SettingError, UserError, check_choice
from celeba_lab.reports.benchmark import show_section, show_start, write_benchmark
from celeba_lab.runs.run import Run

# The data folders of the measurements contain links to a number of faces, so these settings do not apply to them.
_OWN_DATA = ("data=", "data.root=", "data.limit=", "data.store=", "data.cache=", "data.partitions=", "data.name=")


def benchmark(
    cfg: DictConfig,
    sections: list[str] | None = None,
    images: int = 2000,
    epochs: int = 4,
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
        images: Number of faces. :class:`~celeba_lab.benchmarks.workplace.Sizes` describes the sizes in detail.
        epochs: Number of epochs.
        steps: Number of batches of plain loops.
        inference_images: Number of faces to classify.
        growth: Numbers of faces with which the time per face is measured. Default: 1,000, 2,000, 4,000 and 8,000.
        workers: Number of worker processes.
        repeats: Number of repeats.
        seconds: Duration of the measurement of an input pipeline.
        image_size: Side length of the images in pixels.
        backbone: Name of the backbone.
        initial_weights: Origin of the initial weights.
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
    show_start(data, machine)
    with TemporaryDirectory(prefix="celeba_lab_benchmark_", dir=scratch, ignore_cleanup_errors=True) as folder:
        place = Workplace(Path(folder).resolve(), data, sizes, _forwarded_overrides(run))
        table = results_table(results := _measure(run, place, sections or SECTIONS))
        machine |= {"trained on": "; ".join(sorted(place.devices))} if place.devices else {}
    with run.reporting():
        write_benchmark(run, table, machine, data)
    return run.finish(results_metrics(results), data=data.facts(), details={"machine": machine})


def _measure(run: Run, place: Workplace, sections: Sequence[str]) -> list[Result]:
    """Measure the sections in their usual order, and print the results of each section."""
    results: list[Result] = []
    for name in [name for name in SECTIONS if name in sections]:
        with run.timed(name):
            found = measure_section(name, place)
        show_section(results_table(found), name)
        results += found
    if not any(result.values for result in results):
        raise UserError(f"Nothing could be measured. {results[0].note}")
    return results


def _forwarded_overrides(run: Run) -> list[str]:
    """Return the overrides of the Trainer and of the loaders, which all measured commands use as well."""
    loaders = [text for text in run.data_overrides if not text.startswith(_OWN_DATA)]
    return [text for text in run.overrides if text.lstrip("+~").startswith("trainer")] + loaders
