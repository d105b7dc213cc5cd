"""Kill runs with SIGKILL at random moments, resume them, and compare the results with an uninterrupted run.

    python tests/reliability/kill.py --data path/to/celeba --kills 20

Every case is run once without interruption. The same run is then started again and again, killed while it trains,
validates, saves a checkpoint, writes a file or reports, sometimes killed once more after it has been resumed, and
resumed. The results must be equal to the last bit: weights, optimizers, metrics, tables, predictions and TensorBoard's
values. The script prints one line per kill, and exits with status 1 if a run differs.
"""

import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from compare_runs import differences
from runner import CLASSIFIER, GAN, Child, choose_moment, draw_blank_figures, parser_of, trace_phases

AUGMENTED = ["model.augment={flip:0.5,shift:0.1,scale:0.1,rotate:5,light:0.2}", "model.mixup=0.2"]
CASES = {
    "classifier, no workers, JPEG": [*CLASSIFIER, "data.num_workers=0"],
    "classifier, 2 workers, JPEG, averaged, augmented": [
        *CLASSIFIER, "data.num_workers=2", *AUGMENTED, "recipe=strong",
    ],
    "classifier, no workers, memory, averaged, augmented": [
        *CLASSIFIER, "data.num_workers=0", "data.store=memory", *AUGMENTED, "recipe=strong",
    ],
    "classifier, 2 workers, memory, minutes": [
        *CLASSIFIER, "data.num_workers=2", "data.store=memory", "callbacks.last.every_n_minutes=0.001",
    ],
    "classifier, early stopping, learning rate finder, batch size finder": [
        *CLASSIFIER, "callbacks=[default,batch_size_finder,lr_finder,early_stopping]", "trainer.max_epochs=12",
        "callbacks.early_stopping.min_delta=0.5", "callbacks.batch_size_finder.max_val=4",
        "callbacks.batch_size_finder.init_val=2", "callbacks.lr_finder.num_training_steps=20",
    ],
    "classifier, accumulation, SWA": [
        *CLASSIFIER, "callbacks=[default,accumulation,swa]", "callbacks.ema=null", "callbacks.swa.swa_epoch_start=1",
        "callbacks.swa.swa_lr=0.001", "callbacks.accumulation.scheduling.0=2", "+callbacks.accumulation.scheduling.2=3",
    ],
    "GAN, early stopping, batch size finder": [
        *GAN, "callbacks=[gan,early_stopping,batch_size_finder,throughput]", "callbacks.early_stopping.patience=1",
        "callbacks.early_stopping.min_delta=1e6", "task.distances.every_n_epochs=1", "recipe.max_epochs=4",
        "callbacks.batch_size_finder.max_val=8", "task.distances.n_images=20",
    ],
    "GAN, no workers, JPEG, averaged, augmented": [*GAN, "data.num_workers=0"],
    "GAN, 2 workers, memory, averaged, minutes": [
        *GAN, "data.num_workers=2", "data.store=memory", "callbacks.last.every_n_minutes=0.001",
    ],
}  # fmt: skip


def kill_and_compare(name: str, arguments: list[str], kills: int, folder: Path, generator: random.Random) -> int:
    """Run one case, print one line per kill, and return the number of runs that differ."""
    code, durations = Child([*arguments, "hydra.run.dir=whole"], folder, folder / "whole.log", trace_phases).wait()
    if code != 0:
        sys.exit(f"the uninterrupted run failed: {(folder / 'whole.log').read_text()[-3000:]}")
    wrong = number = 0
    while number < kills:
        run = f"killed_{number}"
        command, killed = [*arguments, f"hydra.run.dir={run}"], []
        for _ in range(generator.choice([1, 1, 2])):
            phase, visit, delay = moment = choose_moment(durations, generator)
            code, _ = Child(command, folder, folder / f"{run}.log", trace_phases).wait(moment)
            if code != -signal.SIGKILL:
                break  # The run ended before this moment.
            killed.append(f"{phase} {visit + 1} after {delay:.3f} s")
            command = [f"resume={run}"]
        if not killed:
            shutil.rmtree(folder / run)
            continue
        number += 1
        code, _ = Child(command, folder, folder / f"{run}.log").wait()
        last_words = (folder / f"{run}.log").read_text()[-1000:]
        found = differences(folder / "whole", folder / run) if code == 0 else [f"exit code {code}: {last_words}"]
        wrong += bool(found)
        result = "equal" if not found else f"DIFFERENT: {'; '.join(found[:5])}"
        print(f"{name}: killed in {', then in '.join(killed)}: {result}", flush=True)
    return wrong


def main_script() -> None:
    parser = parser_of(__doc__, "kills", 20, "number of kills for each case")
    parser.add_argument("--figures", action="store_true", help="draw the figures, which takes most of the time")
    options = parser.parse_args()
    if not options.figures:
        draw_blank_figures()
    wrong = total = 0
    for name, arguments in CASES.items():
        if not any(text in name for text in options.cases):
            continue
        with tempfile.TemporaryDirectory() as folder:
            given = [*arguments, f"data.root={options.data.resolve()}"]
            wrong += kill_and_compare(name, given, options.kills, Path(folder), random.Random(options.seed))
        total += options.kills
    print(f"{total - wrong} of {total} resumed runs are equal to the uninterrupted run")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main_script()
