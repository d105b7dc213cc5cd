"""Kill a sweep of twelve jobs again and again, resume it, and compare it with an uninterrupted sweep.

    python tests/reliability/kill_sweep.py --data path/to/celeba --kills 10

The sweep is killed with SIGKILL at random moments, while its jobs train, validate, save checkpoints, write files or
report. Then it is resumed until all jobs are finished. Its leaderboard must be the same, except for the seconds, and
the results of every job must be equal to the last bit. A job that was finished must not be run again. The search must
choose the same trials and prune the same ones. The script exits with status 1 if anything differs.
"""

import random
import signal
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import pandas as pd
from compare_runs import differences
from runner import SMALL, Child, choose_moment, draw_blank_figures, parser_of, trace_phases

CASES = {
    "classifier": [
        *SMALL, "-m", "experiment=smile", "model.backbone=shufflenet_v2_x0_5", "model.image_size=32",
        "model.weights=null", "trainer.max_epochs=1", "data.num_workers=0", "model.lr=1e-4,1e-3,1e-2,1e-1",
        "seed=1,2,3", "task.report.page=false", "task.report.tune=null", "task.report.estimator=null",
    ],
    "search": [
        *SMALL, "-m", "experiment=smile", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=12",
        "hydra/sweeper/pruner=median", "hydra.sweeper.sampler.n_startup_trials=4", "model.lr=tag(log,interval(1e-4,1))",
        "model.backbone=shufflenet_v2_x0_5", "model.image_size=32", "model.weights=null", "trainer.max_epochs=3",
        "data.num_workers=0", "score=val/loss", "direction=minimize", "task.report.page=false",
        "task.report.tune=null", "task.report.estimator=null",
    ],
    "cooccurrence": ["-m", "experiment=cooccurrence", "data.limit=48", "task.fraction=0.5,0.75,1", "seed=1,2,3,4"],
}  # fmt: skip


def finished_jobs(folder: Path) -> dict[str, int]:
    """Return the time at which each finished job wrote its summary."""
    return {path.parent.name: path.stat().st_mtime_ns for path in folder.glob("*/summary.json")}


def read_leaderboard(folder: Path) -> pd.DataFrame:
    """Return the leaderboard of a sweep, without the seconds."""
    return pd.read_csv(folder / "leaderboard.csv", dtype=str).drop(columns="seconds")


def kill_and_compare(name: str, arguments: list[str], kills: int, folder: Path, generator: random.Random) -> list[str]:
    """Run one case, print one line per kill, and return what differs."""
    whole, killed = folder / "whole", folder / "killed"
    code, durations = Child([*arguments, "hydra.sweep.dir=whole"], folder, folder / "log", trace_phases).wait()
    if code != 0:
        sys.exit(f"the uninterrupted sweep failed: {(folder / 'log').read_text()[-3000:]}")
    found: list[str] = []
    before: dict[str, int] = {}
    command, number = [*arguments, "hydra.sweep.dir=killed"], 0
    while True:
        # A sweep that has been resumed has fewer phases left than one that starts.
        moment = choose_moment(durations, generator) if number < kills else None
        if moment is not None:
            moment = (moment[0], moment[1] // 12, moment[2])
        code, _ = Child(command, folder, folder / "log", trace_phases).wait(moment)
        now = finished_jobs(killed)
        found += [f"{job} was run again" for job, time in before.items() if now.get(job) != time]
        before = now
        if code != -signal.SIGKILL:
            break
        number += 1
        print(f"{name}: killed in {moment[0] if moment else '?'}, {len(now)} of 12 jobs finished", flush=True)
        if (killed / "sweep.json").exists():
            command = ["resume=killed"]
    print(f"{name}: killed {number} times", flush=True)
    if code != 0:
        return [*found, f"exit code {code}: {(folder / 'log').read_text()[-3000:]}"]
    if not read_leaderboard(whole).equals(read_leaderboard(killed)):
        found.append("the leaderboards differ")
    names = sorted(path.parent.name for path in whole.glob("*/job.json"))
    if names != sorted(path.parent.name for path in killed.glob("*/job.json")) or len(names) != 12:
        return [*found, "the sweeps do not have the same twelve jobs"]
    return found + [f"{job}: {text}" for job in names for text in differences(whole / job, killed / job)]


def main_script() -> None:
    options = parser_of(__doc__, "kills", 10, "number of kills").parse_args()
    draw_blank_figures()
    wrong = 0
    for name, arguments in CASES.items():
        if any(text in name for text in options.cases):
            with tempfile.TemporaryDirectory() as folder:
                given = [*arguments, f"data.root={options.data.resolve()}"]
                found = kill_and_compare(name, given, options.kills, Path(folder), random.Random(options.seed))
                print(f"{name}: {found or 'equal'}", flush=True)
                wrong += bool(found)
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main_script()
