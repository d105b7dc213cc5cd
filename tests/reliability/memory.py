"""Measure the memory and the open files of a run after each of many epochs, which must not grow.

    python tests/reliability/memory.py --data path/to/celeba --epochs 40

The script prints the resident memory in MiB and the number of open file descriptors after some epochs, and exits with
status 1 if the memory grows by more than 3 % or any descriptor is added after the first quarter of the epochs.
"""

import argparse
import os
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from runner import CLASSIFIER, GAN, Child, draw_blank_figures

from celeba_lab.engine.callbacks import EpochLog

CASES = {
    "classifier, no workers": [*CLASSIFIER, "data.num_workers=0"],
    "classifier, 2 workers": [*CLASSIFIER, "data.num_workers=2"],
    "GAN, no workers": [*GAN, "task.distances=null"],
}


def measure(file: Path, pipe: int) -> None:
    """Make the run write its memory in MiB and its number of descriptors to a file after each epoch."""
    record = EpochLog.on_train_epoch_end

    def recorded(self: EpochLog, *arguments: Any) -> None:
        record(self, *arguments)
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        count = len(list(Path("/proc/self/fd").iterdir()))
        with file.open("a") as lines:
            lines.write(f"{pages * os.sysconf('SC_PAGE_SIZE') / 2**20:.1f} {count}\n")

    EpochLog.on_train_epoch_end = recorded


def main_script() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of CelebA")
    parser.add_argument("--epochs", type=int, default=40, help="number of epochs")
    options = parser.parse_args()
    draw_blank_figures()
    grows = False
    for name, arguments in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "memory")
            epochs = f"trainer.max_epochs={options.epochs}"
            more = [f"data.root={options.data.resolve()}", "hydra.run.dir=run", epochs]
            code, _ = Child([*arguments, *more], Path(folder), Path(folder, "log"), partial(measure, file)).wait()
            if code != 0:
                sys.exit(Path(folder, "log").read_text()[-2000:])
            rows = [line.split() for line in file.read_text().splitlines()]
        memory, files = [float(row[0]) for row in rows], [int(row[1]) for row in rows]
        quarter = len(rows) // 4
        grows |= memory[-1] > 1.03 * memory[quarter] or files[-1] > files[quarter]
        shown = [0, quarter, len(rows) // 2, len(rows) - 1]
        print(f"{name}: " + ", ".join(f"epoch {i + 1}: {memory[i]:.0f} MiB and {files[i]} descriptors" for i in shown))
    sys.exit(grows)


if __name__ == "__main__":
    main_script()
