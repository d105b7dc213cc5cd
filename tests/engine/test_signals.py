"""Signals stop a Trainer between two batches, and a second signal stops the process at once."""

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import os, signal, sys, time
import lightning as L, torch
from torch.utils.data import DataLoader
from celeba_lab.engine.signals import exit_codes_of_signals

class Slow(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
    def training_step(self, batch, index):
        for number in sys.argv[2:]:
            os.kill(os.getpid(), int(number))
            time.sleep(0.01)
        print("the step ended", flush=True)
        return self.weight.sum()
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)
    def on_train_batch_end(self, *args):
        print("the batch ended", flush=True)

trainer = L.Trainer(
    accelerator="cpu", max_epochs=1, limit_train_batches=int(sys.argv[1]), logger=False, enable_checkpointing=False,
    enable_progress_bar=False, enable_model_summary=False,
)
with exit_codes_of_signals(trainer, lambda trainer: print("advice", flush=True)):
    trainer.fit(Slow(), DataLoader(torch.zeros(4, 1)))
"""


@pytest.mark.parametrize(
    ("batches", "signals", "code", "shown"),
    [
        (2, [signal.SIGINT], 130, ["the step ended", "the batch ended", "stopped by SIGINT", "advice"]),
        (2, [signal.SIGHUP], 129, ["the step ended", "the batch ended", "stopped by SIGHUP", "advice"]),
        (2, [signal.SIGTERM], 143, ["the step ended", "the batch ended", "stopped by SIGTERM", "advice"]),
        (1, [signal.SIGINT], 130, ["the step ended", "the batch ended", "stopped by SIGINT", "advice"]),
        (2, [signal.SIGINT, signal.SIGINT], 130, []),
        (2, [signal.SIGTERM, signal.SIGINT], 130, ["the step ended", "the batch ended", "stopped by SIGINT", "advice"]),
    ],
    ids=["ctrl-c", "hangup", "terminate", "last batch", "ctrl-c twice", "terminate and ctrl-c"],
)
def test_a_batch_is_completed_before_a_signal_stops_training(
    batches: int, signals: list[signal.Signals], code: int, shown: list[str]
) -> None:
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, str(batches), *(str(int(number)) for number in signals)],
        capture_output=True, text=True, timeout=100,
        # A non-interactive shell starts background processes with SIGINT ignored, and child processes inherit this.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert run.returncode == code, run.stderr
    lines = [line for line in run.stdout.splitlines() if line.startswith(("the ", "stopped", "advice"))]
    assert lines == shown
