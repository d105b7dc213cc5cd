"""Signals stop a Trainer between two batches, and a second signal stops the process at once."""

import json
import signal
import subprocess
import sys

import pytest

# Each case is the number of batches and the signals that arrive during the first training step.
CASES = {
    "ctrl-c": (2, [signal.SIGINT]),
    "hangup": (2, [signal.SIGHUP]),
    "terminate": (2, [signal.SIGTERM]),
    "last batch": (1, [signal.SIGINT]),
    "ctrl-c twice": (2, [signal.SIGINT, signal.SIGINT]),
    "ctrl-c after terminate": (2, [signal.SIGTERM, signal.SIGINT]),
}
# Runs every case in its own child process. The children are forked, because importing Lightning takes seconds.
PROGRAM = """
import json, os, signal, sys, time
import lightning as L, torch
from torch.utils.data import DataLoader
from celeba_lab.engine.signals import exit_codes_of_signals

class Signalled(L.LightningModule):
    def __init__(self, signals):
        super().__init__()
        self.weight, self.signals = torch.nn.Parameter(torch.zeros(1)), signals
    def training_step(self, batch, index):
        for number in self.signals:
            os.kill(os.getpid(), number)
            time.sleep(0.01)
        return self.weight.sum()
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)
    def on_train_batch_end(self, *args):
        print("a batch ended", flush=True)

def fit(batches, signals):
    trainer = L.Trainer(
        accelerator="cpu", max_epochs=1, limit_train_batches=batches, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )
    with exit_codes_of_signals(trainer, lambda trainer: print("advice", flush=True)):
        trainer.fit(Signalled(signals), DataLoader(torch.zeros(4, 1)))

signal.signal(signal.SIGINT, signal.default_int_handler)  # It is ignored in background processes.
for name, case in json.loads(sys.argv[1]).items():
    print("case", name, flush=True)
    child = os.fork()
    if child == 0:
        fit(*case)
        os._exit(0)
    print("code", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def outcomes() -> dict[str, list[str]]:
    """Output and exit code of every case."""
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, json.dumps(CASES)], capture_output=True, text=True, timeout=100
    )
    found: dict[str, list[str]] = {}
    for line in run.stdout.splitlines():
        if line.startswith("case "):
            lines = found.setdefault(line.removeprefix("case "), [])
        elif line.startswith(("a batch", "stopped by", "advice", "code")):
            lines.append(line)
    return found


@pytest.mark.parametrize(
    ("case", "cause", "code"),
    [
        ("ctrl-c", "SIGINT", 130),
        ("hangup", "SIGHUP", 129),
        ("terminate", "SIGTERM", 143),
        ("last batch", "SIGINT", 130),
        ("ctrl-c after terminate", "SIGINT", 130),
    ],
)
def test_a_batch_is_completed_before_a_signal_stops_training(outcomes, case: str, cause: str, code: int) -> None:
    assert outcomes[case] == ["a batch ended", f"stopped by {cause}", "advice", f"code {code}"]


def test_a_second_signal_stops_the_process_at_once(outcomes) -> None:
    assert outcomes["ctrl-c twice"] == ["code 130"]
