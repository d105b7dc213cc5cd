"""The sections of the benchmark. Each one measures its candidates alternately and returns their results."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from celeba_lab.benchmarks.children import BUSY, running_python, wait_for
from celeba_lab.benchmarks.repeats import Candidate, NotMeasuredError, alternate
from celeba_lab.benchmarks.results import BARE, OURS, REFERENCE, Result
from celeba_lab.benchmarks.workplace import Training, Workplace, read_clock
from celeba_lab.console import format_override
from celeba_lab.data.attributes import ATTRIBUTES
from celeba_lab.errors import quote_override
from celeba_lab.runs.summary import Summary

_SIZE = 128  # Side length of the images of the default recipe in pixels.
_MANY_STEPS = 10**9  # a loop that goes on until it is ended
_LONGER = 5  # The steps of a GAN are short, so more of them are measured.


def measure_section(name: str, place: Workplace) -> list[Result]:
    """Measure a section. If something that all of its candidates need has failed, the only result says why.

    Args:
        name: Name of the section; see :data:`MEASURES`.
        place: Where the section is measured.
    """
    try:
        return MEASURES[name](place)
    except NotMeasuredError as error:
        return [Result(name, "everything", OURS, "", note=str(error))]


def measure_input(place: Workplace) -> list[Result]:
    """Measure how many faces per second the input pipelines read, without and with worker processes."""
    sizes, size = place.sizes, place.sizes.image_size or _SIZE
    workers = (0, sizes.workers)

    def reader(function: str, root: Callable[[], Path], **arguments: Any) -> Callable[[], dict[str, float]]:
        def measure() -> dict[str, float]:
            found: dict[str, float] = {}
            for count in workers:
                given = {"root": str(root()), "image_size": size, "workers": count, "seconds": sizes.seconds}
                result = place.work(function, **given, **arguments)
                found |= {name: value for name, value in result.items() if name.endswith("workers")}
            return found

        return measure

    def faces() -> Path:
        return place.faces(sizes.images)

    candidates = [Candidate(store, reader("read_faces", faces, store=store)) for store in ("packed", "memory", "jpeg")]
    candidates += [
        Candidate(REFERENCE, reader("read_faces_reference", faces)),
        Candidate("torchvision", reader("read_faces_torchvision", lambda: place.torchvision_faces(sizes.images))),
    ]
    return alternate("input", {f"{count}_workers": "faces/s" for count in workers}, candidates, sizes.repeats)


def measure_packing(place: Workplace) -> list[Result]:
    """Measure how many faces per second are decoded, resized and written to a new file."""
    size = place.sizes.image_size or _SIZE

    def pack() -> dict[str, float]:
        cache = place.new("cache")
        root = format_override("data.root", place.faces(place.sizes.images))
        settings = [root, format_override("data.cache", cache), f"task.image_size={size}"]
        run, _ = place.command("task=pack", "data=celeba", *settings)
        return {"pack": Summary.read(run).metrics["pack/images_per_second"]}

    return alternate("packing", {"pack": "faces/s"}, [Candidate(OURS, pack)], place.sizes.repeats)


def measure_smile(place: Workplace) -> list[Result]:
    """Measure the training of a classifier for one attribute."""
    return _measure_classifier(place, "smile", ["Smiling"])


def measure_attributes(place: Workplace) -> list[Result]:
    """Measure the training of a classifier for forty attributes."""
    return _measure_classifier(place, "attributes", list(ATTRIBUTES))


def _measure_classifier(place: Workplace, experiment: str, attributes: Sequence[str]) -> list[Result]:
    sizes = place.sizes

    def ours() -> dict[str, float]:
        run = place.train(experiment, sizes.images)
        return {"step": run.images_per_second, "epoch": run.epoch_seconds}

    def reference() -> dict[str, float]:
        same = {name: place.latest(experiment).clock[name] for name in ("image_size", "device")}
        given = {"root": str(place.faces(sizes.images)), "attributes": attributes, "steps": sizes.steps}
        backbone = {} if sizes.backbone is None else {"backbone": sizes.backbone}
        result = place.work("reference_classifier", **given, **same, **backbone)
        return {"step": result["step"], "epoch": result["epoch"]}

    candidates = [
        Candidate(OURS, ours),
        Candidate(BARE, lambda: _bare_step(place, experiment, "bare_classifier", sizes.steps, epochs=sizes.epochs)),
        Candidate(REFERENCE, reference),
    ]
    return alternate(experiment, {"step": "images/s", "epoch": "s"}, candidates, sizes.repeats)


def measure_gan(place: Workplace) -> list[Result]:
    """Measure the training of a GAN."""
    sizes = place.sizes

    def ours() -> dict[str, float]:
        run = place.train("gan", sizes.images, f"trainer.max_epochs={2 * sizes.epochs}")  # Its epochs are short.
        return {"step": run.images_per_second}

    def reference() -> dict[str, float]:
        same = {name: place.latest("gan").clock[name] for name in ("image_size", "device")}
        result = place.work("reference_gan", root=str(place.faces(sizes.images)), steps=sizes.steps, **same)
        return {"step": result["step"]}

    candidates = [
        Candidate(OURS, ours),
        Candidate(BARE, lambda: _bare_step(place, "gan", "bare_gan", _LONGER * sizes.steps)),
        Candidate(REFERENCE, reference),
    ]
    return alternate("gan", {"step": "images/s"}, candidates, sizes.repeats)


def _device(place: Workplace, experiment: str) -> str:
    device: str = place.latest(experiment).clock["device"]
    return device


def _bare_step(place: Workplace, experiment: str, function: str, steps: int, **options: int) -> dict[str, float]:
    run = place.latest(experiment)
    return {"step": place.work(function, checkpoint=str(run.checkpoint), steps=steps, **options, **run.config)["step"]}


def measure_inference(place: Workplace) -> list[Result]:
    """Measure how many faces per second are classified, with the logits of each face and its mirror image averaged."""
    n = place.sizes.inference_images
    run = place.latest("smile")
    checkpoint = format_override("checkpoint", run.checkpoint)
    root = place.faces(n)

    def predict() -> dict[str, float]:
        images = format_override("task.images", root / "img_align_celeba" / "img_align_celeba")
        folder, process = place.command("task=predict", checkpoint, images, *place.overrides)
        return {"mirrored": n / Summary.read(folder).seconds["predict"], "command": process.seconds}

    def evaluate() -> dict[str, float]:
        report = ["task.report.page=false", "task.report.tune=null", "task.report.estimator=null"]
        settings = ["data=celeba", format_override("data.root", root), "task.split=train", *report]
        folder, process = place.command("task=evaluate", checkpoint, *settings, *place.overrides)
        summary = Summary.read(folder)
        assert summary.data is not None
        return {
            "mirrored": summary.data["images"]["train"] / summary.seconds["train"],
            "command": process.seconds,
        }

    def network(folded: bool) -> dict[str, float]:
        # The tasks do not evaluate in the precision that was chosen for training.
        setting = "trainer.precision="
        forwarded = [text.removeprefix(setting) for text in place.overrides if text.startswith(setting)]
        given = {"device": run.clock["device"], "precision": [*forwarded, "32-true"][0]}
        result = place.work("bare_inference", checkpoint=str(run.checkpoint), images=n, folded=folded, **given)
        return {"mirrored": result["mirrored"]}

    candidates = [
        Candidate("predict", predict),
        Candidate("evaluate", evaluate),
        Candidate(BARE, lambda: network(folded=True)),
        Candidate(REFERENCE, lambda: network(folded=False)),
    ]
    return alternate("inference", {"mirrored": "faces/s", "command": "s"}, candidates, place.sizes.repeats)


def measure_analyses(place: Workplace) -> list[Result]:
    """Measure the analyses of the labels as whole commands, beside scripts that compute the same numbers."""
    data = ["data=celeba", format_override("data.root", place.labels)]

    def command(name: str) -> dict[str, float]:
        if name != "compare":
            return {name: place.command(f"experiment={name}", *data)[1].seconds}
        return {name: place.command("task=compare", f"task.runs=[{runs}]")[1].seconds}

    def script(name: str) -> dict[str, float]:
        return {name: place.work(f"reference_{name}", root=str(place.labels))["seconds"]}

    runs = ",".join(quote_override(str(run)) for run in place.two_runs)
    results = []
    for name in ("cooccurrence", "logistic", "clusters", "compare"):
        candidates = [Candidate(OURS, partial(command, name))]
        if name != "compare":
            candidates.append(Candidate(REFERENCE, partial(script, name)))
        results += alternate("analyses", {name: "s"}, candidates, place.sizes.repeats, f"analyses: {name}")
    return results


def measure_startup(place: Workplace) -> list[Result]:
    """Measure how long the help page takes, and how long it takes from the command to the end of the first step."""
    n = min(place.sizes.images, 1000)
    place.pack(n, place.sizes.image_size or _SIZE)

    def first_step() -> dict[str, float]:
        run = place.train("smile", n, "trainer.max_epochs=1", "trainer.limit_train_batches=2")
        return {"time": run.clock["first_step"] - run.process.started}

    candidates = [
        Candidate("import_hydra", lambda: {"time": place.python("-c", "import hydra")}),
        Candidate("help", lambda: {"time": place.python("-m", "celeba_lab", "--help")}),
        Candidate("first_step", first_step),
    ]
    return alternate("startup", {"time": "s"}, candidates, place.sizes.repeats)


def measure_memory(place: Workplace) -> list[Result]:
    """Measure the memory of a training run at its start and at its end, without and with worker processes."""

    def run(workers: int) -> dict[str, float]:
        training = place.train("smile", place.sizes.images, f"data.num_workers={workers}", watch_memory=True)
        return summarize_memory(training)

    candidates = [Candidate(f"{n}_workers", partial(run, n)) for n in (0, place.sizes.workers)]
    return alternate("memory", {"start": "MB", "end": "MB", "largest": "MB"}, candidates, place.sizes.repeats)


def summarize_memory(training: Training) -> dict[str, float]:
    """Return the median memory in the first and last quarter of training and the largest memory of the run, in MB.

    Raises:
        NotMeasuredError: The memory could not be read, or training was too short.
    """
    first, end = training.clock["first_step"], training.clock["end"]
    during = [each.memory / 1e6 for each in training.process.memory if first <= each.time <= end]
    if len(during) < 4 or not max(during):
        raise NotMeasuredError("The memory was not read often enough during training.")
    quarter = len(during) // 4
    return {
        "start": statistics.median(during[:quarter]),
        "end": statistics.median(during[-quarter:]),
        "largest": max(each.memory for each in training.process.memory) / 1e6,
    }


def measure_growth(place: Workplace) -> list[Result]:
    """Measure whether the time per image is the same for small and large datasets."""
    for n in place.sizes.growth:
        place.pack(n, place.sizes.image_size or _SIZE)

    def train(n: int) -> dict[str, float]:
        run = place.train("smile", n, "trainer.max_epochs=1")
        return {"image": 1000 * run.epoch_seconds / run.images}

    candidates = [Candidate(str(n), partial(train, n)) for n in place.sizes.growth]
    return alternate("growth", {"image": "ms/image"}, candidates, place.sizes.repeats)


def measure_processes(place: Workplace) -> list[Result]:
    """Measure training with one and with two processes on this machine."""

    def train(count: int) -> dict[str, float]:
        devices = ["trainer.strategy=ddp", f"trainer.devices={count}"]
        devices += ["trainer.accelerator=cpu"] if _device(place, "smile") == "cpu" else []
        return {"step": place.train("smile", place.sizes.images, *devices).images_per_second}

    candidates = [Candidate("1_process", lambda: train(1)), Candidate("2_processes", lambda: train(2))]
    return alternate("processes", {"step": "images/s"}, candidates, place.sizes.repeats)


def measure_neighbours(place: Workplace) -> list[Result]:
    """Measure training while other programs run on the same machine."""
    n = place.sizes.images
    place.pack(n, place.sizes.image_size or _SIZE)

    def alone() -> dict[str, float]:
        return {"step": place.train("smile", n).images_per_second}

    def two_runs() -> dict[str, float]:
        with ExitStack() as stack:
            started = [stack.enter_context(place.training("smile", n)) for _ in range(2)]
            finished = [(wait_for(child), clock) for child, clock in started]
        runs = [Training(place.folder, read_clock(clock), process) for process, clock in finished]
        return {"step": sum(run.images_per_second for run in runs)}

    def beside_busy() -> dict[str, float]:
        with running_python(BUSY, place.new("log")):
            return alone()

    def beside_training() -> dict[str, float]:
        other = place.latest("smile")
        with place.working("bare_classifier", checkpoint=str(other.checkpoint), steps=_MANY_STEPS, **other.config):
            return alone()

    candidates = [
        Candidate("alone", alone),
        Candidate("two_runs", two_runs),
        Candidate("beside_busy_process", beside_busy),
        Candidate("beside_training", beside_training),
    ]
    return alternate("neighbours", {"step": "images/s"}, candidates, place.sizes.repeats)


MEASURES: Mapping[str, Callable[[Workplace], list[Result]]] = {
    "input": measure_input,
    "packing": measure_packing,
    "smile": measure_smile,
    "attributes": measure_attributes,
    "gan": measure_gan,
    "inference": measure_inference,
    "analyses": measure_analyses,
    "startup": measure_startup,
    "memory": measure_memory,
    "growth": measure_growth,
    "processes": measure_processes,
    "neighbours": measure_neighbours,
}
"""Functions that measure the sections, by name and in the order in which they run."""
