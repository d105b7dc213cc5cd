"""Stop runs with SIGINT, SIGTERM, SIGHUP and SIGUSR1 in every phase, resume them, and compare the results.

    python tests/reliability/interrupt.py --data path/to/celeba --stops 2

The run must save its state, print the command that resumes it, and end with the exit code that shells and schedulers
expect, without a traceback. The resumed run must be equal to an uninterrupted one to the last bit. The script prints
one line per run, and exits with status 1 if a run misbehaves.
"""

import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from compare_runs import differences
from runner import CLASSIFIER, GAN, PHASES, Child, choose_moment, draw_blank_figures, parser_of, trace_phases

CASES = {"classifier": [*CLASSIFIER, "data.num_workers=2"], "GAN": GAN}
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


def _prepare(pipe: int) -> None:
    trace_phases(pipe)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # It is ignored in background processes.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # It is ignored after nohup.


def stop_and_compare(start: Callable[..., Child], folder: Path, number: signal.Signals, choose: Callable) -> str:
    """Stop one run at a random moment and resume it.

    Args:
        start: Function that starts a process with a log file and arguments.
        folder: Folder of the runs.
        number: The signal.
        choose: Function that returns a random moment.

    Returns:
        The moment at which the run was stopped, and what was wrong, if anything.
    """
    run, log = folder / "run", folder / "run.log"
    while True:
        log.unlink(missing_ok=True)
        shutil.rmtree(run, ignore_errors=True)
        phase, visit, delay = moment = choose()
        code, _ = start(log, "hydra.run.dir=run").wait(moment, number)
        if code != 0:  # Otherwise, the run ended before this moment.
            break
    text = log.read_text()
    where = f"{number.name} in {phase} {visit + 1} after {delay:.3f} s"
    if code != 128 + number or f"stopped by {number.name}" not in text or "Traceback" in text:
        return f"{where}: WRONG: exit code {code}: {text[-1500:]}"
    if "To resume: python -m celeba_lab resume=" not in text:
        return f"{where}: WRONG: no command that resumes the run: {text[-1500:]}"
    code, _ = start(log, resumed=True).wait()
    found = differences(folder / "whole", run) if code == 0 else [f"exit code {code}: {log.read_text()[-1500:]}"]
    return f"{where}: equal" if not found else f"{where}: WRONG: {'; '.join(found[:5])}"


def try_case(arguments: list[str], folder: Path, stops: int, generator: random.Random) -> list[str]:
    """Stop one run with each signal in each phase, and return one line for each."""

    def start(log: Path, *more: str, resumed: bool = False) -> Child:
        return Child(["resume=run"] if resumed else [*arguments, *more], folder, log, _prepare)

    code, durations = start(folder / "whole.log", "hydra.run.dir=whole").wait()
    if code != 0:
        sys.exit(f"the uninterrupted run failed: {(folder / 'whole.log').read_text()[-3000:]}")
    lines = []
    for phase in ("reading", *PHASES):
        for number in SIGNALS if durations[phase] else ():
            for _ in range(stops):
                line = stop_and_compare(start, folder, number, partial(choose_moment, durations, generator, [phase]))
                print(line, flush=True)
                lines.append(line)
    return lines


def main_script() -> None:
    options = parser_of(__doc__, "stops", 2, "number of stops with each signal in each phase").parse_args()
    draw_blank_figures()
    lines: list[str] = []
    for name, arguments in CASES.items():
        if any(text in name for text in options.cases):
            print(f"{name}:")
            with tempfile.TemporaryDirectory() as folder:
                given = [*arguments, f"data.root={options.data.resolve()}"]
                lines += try_case(given, Path(folder), options.stops, random.Random(options.seed))
    right = sum(line.endswith(": equal") for line in lines)
    print(f"{right} of {len(lines)} stopped runs ended as expected and are equal to the uninterrupted run")
    sys.exit(right < len(lines))


if __name__ == "__main__":
    main_script()
