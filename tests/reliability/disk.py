"""Fill the disk, make it read-only, or delete the run folder at random moments of a run.

    python tests/reliability/disk.py --data path/to/celeba --trials 12

The runs write to a small file system in memory, which only root can mount, or any user whose kernel permits user
namespaces. Every run must end with status 1 and one sentence, and everything that it had completed must be intact. If
the folder still exists, the run is resumed once the disk is large or writable again, and the results must be equal to
those of an undisturbed run. The script prints one line per trial, and exits with status 1 if a run misbehaves.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import pandas as pd
import torch
from compare_runs import differences
from PIL import Image
from runner import CLASSIFIER, GAN, Child, draw_blank_figures, parser_of

CASES = {
    "classifier": [*CLASSIFIER, "callbacks.last.every_n_minutes=0.001"],
    "GAN": GAN,
    "logistic": ["experiment=logistic", "data.limit=48", "print_config=none"],
    "clusters": ["experiment=clusters", "data.limit=48", "print_config=none", "task.report.tsne=null"],
}
LARGE = "size=1g"


def mount(*options: str) -> None:
    subprocess.run(["mount", *options], check=True, capture_output=True, text=True)


def unmount(folder: Path) -> None:
    subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True, text=True)


def used_kilobytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) // 1024


def damaged(folder: Path) -> list[str]:
    """Return the names of all files in a run folder that are not complete."""
    found = []
    readers: dict[str, Callable[[Path], object]] = {
        ".ckpt": lambda path: torch.load(path, weights_only=True),
        ".csv": pd.read_csv,
        ".json": lambda path: json.loads(path.read_text()),
        ".png": lambda path: Image.open(path).load(),
    }
    for path in folder.rglob("*"):
        reader = readers.get(path.suffix)
        if reader is None or not path.is_file() or path.name.startswith("."):
            continue
        try:
            reader(path)
        except Exception as error:
            found.append(f"{path.relative_to(folder)}: {error}")
    return found


class EndedBeforeError(Exception):
    """Raised if a run ended before it was disturbed."""


class Trials:
    """Disturbed runs of one case.

    Args:
        name: Name of the case.
        arguments: Its command-line arguments.
        disk: Folder in which small file systems are mounted.
        generator: Source of the random moments.
    """

    def __init__(self, name: str, arguments: list[str], disk: Path, generator: random.Random) -> None:
        self.name, self.arguments, self.disk, self.generator = name, arguments, disk, generator
        self.whole = disk.parent / f"whole_{name}"
        start = time.monotonic()
        self._run([f"hydra.run.dir={self.whole}"], expected=0)
        self.seconds = time.monotonic() - start
        self.wrong = 0

    def _run(self, more: list[str], expected: int) -> str:
        """Run the command line and return what it printed."""
        log = self.disk.parent / "log"
        log.unlink(missing_ok=True)
        arguments = more if more[0].startswith("resume=") else [*self.arguments, *more]
        code, _ = Child(arguments, self.disk.parent, log).wait()
        printed = log.read_text()
        if code != expected:
            raise AssertionError(f"exit code {code} instead of {expected}: {printed[-1500:]}")
        return printed

    def _check_sentence(self, printed: str) -> None:
        errors = [line for line in printed.splitlines() if line.startswith("celeba_lab: error: ")]
        if len(errors) != 1 or "Traceback" in printed or "Exception" in printed:
            raise AssertionError(f"no single sentence: {printed[-2500:]}")

    def _check_resumed(self, run: Path) -> None:
        self._run([f"resume={run}"], expected=0)
        if found := differences(self.whole, run):
            raise AssertionError(f"the resumed run differs: {found[:5]}")

    def full(self) -> str:
        """Fill the disk at a random point of the run, and enlarge it again."""
        most = used_kilobytes(self.whole)
        size = self.generator.randrange(8, most - 8)
        mount("-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(self.disk))
        run = self.disk / "run"
        self._check_sentence(self._run([f"hydra.run.dir={run}"], expected=1))
        if found := damaged(run):
            raise AssertionError(f"damaged files: {found}")
        mount("-o", f"remount,{LARGE}", str(self.disk))
        if (run / "config.yaml").exists() and (run / ".hydra" / "overrides.yaml").stat().st_size:
            self._check_resumed(run)
            return f"full after {size} of {most} KB, then resumed"
        return f"full after {size} of {most} KB"

    def _disturb(self, run: Path, change: Callable[[], None]) -> tuple[str, float]:
        """Start a run, and change its folder at a random moment."""
        delay = self.generator.random() * self.seconds
        has_ended = threading.Event()

        def change_later() -> None:
            # A run can be faster than the undisturbed one, and must then be changed when it writes its first file.
            has_ended.wait(delay)
            while not has_ended.is_set() and not run.exists():
                time.sleep(0.001)
            if not has_ended.is_set():
                change()

        timer = threading.Thread(target=change_later, daemon=True)
        timer.start()
        log = self.disk.parent / "log"
        log.unlink(missing_ok=True)
        code, _ = Child([*self.arguments, f"hydra.run.dir={run}"], self.disk.parent, log).wait()
        has_ended.set()
        timer.join()
        printed = log.read_text()
        if code == 0 and (run / "summary.json").exists():  # The summary is written last.
            raise EndedBeforeError
        if code != 1:
            raise AssertionError(f"exit code {code} instead of 1: {printed[-1500:]}")
        return printed, delay

    def deleted(self) -> str:
        """Delete the run folder at a random moment."""
        run = self.disk / "run"
        mount("-t", "tmpfs", "-o", LARGE, "tmpfs", str(self.disk))
        # To delete a folder at once, move it. While shutil.rmtree deletes files, the run could write others.
        printed, delay = self._disturb(run, lambda: run.rename(self.disk / "deleted"))
        self._check_sentence(printed)
        return f"deleted after {delay:.1f} of {self.seconds:.1f} s"

    def read_only(self) -> str:
        """Make the run folder read-only at a random moment, and writable again."""
        run, copy = self.disk / "run", self.disk / "copy"
        mount("-t", "tmpfs", "-o", LARGE, "tmpfs", str(self.disk))

        def protect() -> None:
            with suppress(subprocess.CalledProcessError):  # While a file is being written, the folder is busy.
                mount("--bind", str(run), str(run))
                mount("-o", "remount,bind,ro", str(run))

        printed, delay = self._disturb(run, protect)
        self._check_sentence(printed)
        unmount(run)
        if found := damaged(run):
            raise AssertionError(f"damaged files: {found}")
        shutil.copytree(run, copy)
        if (copy / "config.yaml").exists():
            self._check_resumed(copy)
        return f"read-only after {delay:.1f} of {self.seconds:.1f} s, then resumed"

    def try_all(self, trials: int) -> int:
        """Try each disturbance several times, and return the number of runs that misbehaved."""
        number = 0
        while number < trials:
            disturb = (self.full, self.full, self.read_only, self.deleted)[number % 4]
            try:
                print(f"{self.name}: {disturb()}: as expected", flush=True)
                number += 1
            except EndedBeforeError:
                continue
            except AssertionError as error:
                number += 1
                self.wrong += 1
                print(f"{self.name}, {disturb.__name__}: WRONG: {error}", flush=True)
            finally:
                unmount(self.disk)
        return self.wrong


def main_script() -> None:
    options = parser_of(__doc__, "trials", 12, "number of trials for each case").parse_args()
    if "DISK_TESTS" not in os.environ:  # A namespace of its own, so that nothing is mounted for other processes.
        namespace = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
        command = [*namespace, sys.executable, *sys.orig_argv[1:]]
        sys.exit(subprocess.run(command, env=os.environ | {"DISK_TESTS": "1"}).returncode)
    draw_blank_figures()
    wrong = total = 0
    with tempfile.TemporaryDirectory() as name:
        for case, arguments in CASES.items():
            if not any(text in case for text in options.cases):
                continue
            disk = Path(name, "disk")
            disk.mkdir(exist_ok=True)
            given = [*arguments, f"data.root={options.data.resolve()}"]
            wrong += Trials(case, given, disk, random.Random(options.seed)).try_all(options.trials)
            total += options.trials
    print(f"{total - wrong} of {total} disturbed runs ended as expected")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main_script()
