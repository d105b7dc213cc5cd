"""Give the program a thousand bad inputs: settings, commands, searches, tables, images, archives and checkpoints.

    python tests/reliability/bad_inputs.py

Every input must end with status 1 and one sentence that names the culprit, and leave nothing behind. The data are a few
drawn faces, so no other data are needed. The script prints the inputs that are accepted or explained badly, and a count
for each kind, and exits with status 1 if there are any.
"""

import argparse
import importlib
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from runner import Child

KINDS = ("settings", "command_lines", "searches", "tables", "images", "checkpoints", "runs")
# Modules whose import takes long, and which the forked runs therefore do not import again.
SLOW = (
    "evaluate",
    "predict",
    "generate",
    "export",
    "logistic",
    "clusters",
    "compare",
    "embeddings",
    "train",
    "train_gan",
)


@dataclass(frozen=True)
class BadInput:
    """A command with a bad input.

    Attributes:
        kind: Kind of the input, such as ``tables``.
        name: Short description.
        arguments: Command-line arguments.
        culprit: Text that the sentence must contain.
        starts: Whether the input is found only after the run has started, so that its folder remains.
        hidden: Name of a module that is not installed, as far as the command can see.
    """

    kind: str
    name: str
    arguments: list[str]
    culprit: str
    starts: bool = False
    hidden: str | None = None


def listing(folder: Path) -> set[str]:
    """Return the names of all files and folders, which must not change."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def fault_of(case: BadInput, folder: Path, seconds: float) -> str | None:
    """Run a command, and return what is wrong with its answer, or None."""
    work = folder / "work"
    log = folder / "log"
    log.unlink(missing_ok=True)
    before = listing(work)
    start = time.monotonic()
    hide = {} if case.hidden is None else {case.hidden: None}
    code, _ = Child(case.arguments, work, log, lambda pipe: sys.modules.update(hide)).wait()
    taken = time.monotonic() - start
    printed = log.read_text(errors="replace")
    errors = [line for line in printed.splitlines() if line.startswith("celeba_lab: error: ")]
    left = sorted(listing(work) - before)
    shutil.rmtree(work / "outputs", ignore_errors=True)
    if code == 0:
        return "accepted"
    if "Traceback" in printed or "This is a bug" in printed:
        return f"traceback: {' | '.join(printed.splitlines()[-3:])}"
    if code != 1 or len(errors) != 1:
        return f"exit code {code} with {len(errors)} sentences: {printed[-300:]}"
    if case.culprit not in errors[0]:
        return f"'{case.culprit}' is not in: {errors[0]}"
    if left and not case.starts:
        return f"left behind: {left[:4]}"
    return f"took {taken:.0f} s" if taken > seconds else None


def main_script() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="*", default=KINDS, help="only these kinds of inputs")
    parser.add_argument("--seconds", type=float, default=30, help="most seconds for each answer")
    options = parser.parse_args()
    for name in SLOW:
        importlib.import_module(f"celeba_lab.tasks.{name}")
    wrong: Counter[str] = Counter()
    total: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "work").mkdir()
        for case in _all_cases(folder, options.kinds):
            total[case.kind] += 1
            if fault := fault_of(case, folder, options.seconds):
                wrong[case.kind] += 1
                print(f"{case.kind}, {case.name}: {fault}\n    {' '.join(case.arguments)}", flush=True)
    for kind in total:
        print(f"{kind}: {total[kind] - wrong[kind]} of {total[kind]} bad inputs are explained in one sentence")
    print(f"all: {total.total() - wrong.total()} of {total.total()}")
    sys.exit(wrong.total() > 0)


def _all_cases(folder: Path, kinds: list[str]) -> Iterator[BadInput]:
    for kind in kinds:
        yield from importlib.import_module(f"bad_{kind}").cases(folder)


if __name__ == "__main__":
    os.environ.pop("CELEBA_ROOT", None)
    main_script()
