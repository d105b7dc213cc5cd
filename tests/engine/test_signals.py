"""Signals stop a Trainer between two batches, and a second signal stops the process at once."""

import json
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.utilities.exceptions import SIGTERMException

from celeba_lab.engine.signals import StopBetweenBatches

# Each case is the number of batches and the signals that arrive during the first training step.
CASES = {
    "ctrl-c": (2, [signal.SIGINT]),
    "hangup": (2, [signal.SIGHUP]),
    "terminate": (2, [signal.SIGTERM]),
    "last batch": (1, [signal.SIGINT]),
    "ctrl-c twice": (2, [signal.SIGINT, signal.SIGINT]),
    "ctrl-c after terminate": (2, [signal.SIGTERM, signal.SIGINT]),
    "terminate twice": (2, [signal.SIGTERM, signal.SIGTERM]),
    "warning from SLURM": (2, [signal.SIGUSR1]),
}
# Runs every case in its own child process. The children are forked, because importing Lightning takes seconds.
PROGRAM = """
import json, os, signal, sys, time
import lightning as L, torch
from torch.utils.data import DataLoader
from celeba_lab.engine.signals import stopping_between_batches
from celeba_lab.runs.interrupts import raising_interrupts

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
    with raising_interrupts(), stopping_between_batches(trainer, lambda trainer: print("advice", flush=True)):
        trainer.fit(Signalled(signals), DataLoader(torch.zeros(4, 1)))

signal.signal(signal.SIGINT, signal.default_int_handler)  # It is ignored in background processes.
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # It is ignored after nohup.
for name, case in json.loads(sys.argv[1]).items():
    print("case", name, flush=True)
    child = os.fork()
    if child == 0:
        try:
            fit(*case)
        except SystemExit as end:
            os._exit(end.code)  # Without the cleanup of Python, which takes seconds.
        os._exit(0)
    print("code", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
os._exit(0)
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
        elif line.startswith(("a batch", "advice", "code")):
            lines.append(line)
    return found


@pytest.mark.parametrize(
    ("case", "code"),
    [
        ("ctrl-c", 130),
        ("hangup", 129),
        ("terminate", 143),
        ("terminate twice", 143),
        ("warning from SLURM", 128 + signal.SIGUSR1),
        ("last batch", 130),
    ],
)
def test_a_batch_is_completed_before_a_signal_stops_training(outcomes, case: str, code: int) -> None:
    assert outcomes[case] == ["a batch ended", "advice", f"code {code}"]


@pytest.mark.parametrize("case", ["ctrl-c twice", "ctrl-c after terminate"])
def test_ctrl_c_after_another_signal_stops_the_process_at_once(outcomes, case: str) -> None:
    assert outcomes[case] == ["code 130"]


@pytest.mark.parametrize("others", [0, int(signal.SIGTERM)])
def test_a_signal_that_arrives_while_the_processes_agree_is_not_lost(
    others: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    callback = StopBetweenBatches()

    def agree(number: torch.Tensor, op: object) -> None:
        if callback.cause is None:
            callback._receive(signal.SIGUSR1, None)
        number.fill_(max(int(number), others))

    monkeypatch.setattr(torch.distributed, "all_reduce", agree)
    trainer = SimpleNamespace(world_size=2, strategy=SimpleNamespace(root_device=torch.device("cpu")))
    if not others:
        callback._check(trainer)
    with pytest.raises(SIGTERMException):
        callback._check(trainer)
    assert callback.cause == (others or signal.SIGUSR1)
