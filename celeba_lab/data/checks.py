"""Finding images that cannot be used."""

import time
from collections.abc import Sequence
from multiprocessing.pool import ThreadPool
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from celeba_lab.data.images import load_image
from celeba_lab.errors import UserError


def find_unusable(paths: Sequence[Path], max_pixels: int, description: str) -> dict[int, str]:
    """Decode every file once and return the bad ones: position in ``paths`` to the sentence that says why.

    A progress bar headed ``description`` appears when it takes more than a moment.
    """
    chunk = 64  # a future for each of 200,000 images would take more memory than the images
    starts = range(0, len(paths), chunk)

    def check(start: int) -> dict[int, str]:
        faults = {}
        for position in range(start, min(start + chunk, len(paths))):
            try:
                load_image(paths[position], max_pixels)
            except UserError as error:
                faults[position] = error.sentence
        return faults

    reasons: dict[int, str] = {}
    progress = Progress(*Progress.get_default_columns(), console=Console(stderr=True), transient=True)
    task = progress.add_task(description, total=len(paths))
    begin = time.monotonic()
    with ThreadPool() as pool:  # simplejpeg releases the GIL
        try:
            for done, faults in enumerate(pool.imap(check, starts), start=1):
                reasons |= faults
                progress.update(task, completed=min(done * chunk, len(paths)))
                if time.monotonic() - begin > 2 and not progress.live.is_started:
                    progress.start()
        finally:
            if progress.live.is_started:  # stopping one that never started prints an empty line
                progress.stop()
    return reasons
