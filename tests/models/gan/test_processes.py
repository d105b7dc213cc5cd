"""A GAN in several processes."""

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROCESSES = """
import hashlib, sys
from pathlib import Path
from typing import Any
import lightning as L, torch
from lightning.pytorch.strategies import DDPStrategy
from torch.utils.data import DataLoader
from celeba_lab.engine.callbacks import RandomState
from celeba_lab.models.gan.module import GAN

@FACES@

class Watched(GAN):
    def _train_generator(self, optimizer, real, fake, attributes):
        self.drawn = fake.detach().clone()
        super()._train_generator(optimizer, real, fake, attributes)

if __name__ == "__main__":
    torch.manual_seed(3)
    model = Watched(**{"image_size": 16, "latent_size": 8, "width": 4}, loss={"name": "relativistic"}, ema=0.5)
    trainer = L.Trainer(
        accelerator="cpu", devices=2, strategy=DDPStrategy(find_unused_parameters=True), max_epochs=3, logger=False,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False, callbacks=[RandomState()],
    )
    trainer.fit(model, DataLoader(Noise(), batch_size=8))
    weights = torch.cat([p.detach().flatten() for p in model.parameters()])
    digests = [hashlib.sha256(t.numpy().tobytes()).hexdigest()[:12] for t in (weights, model.drawn)]
    Path(sys.argv[1], f"rank_{trainer.global_rank}").write_text(" ".join(digests))
    trainer.strategy.barrier()
"""


@pytest.mark.slow
def test_two_processes_share_their_weights_and_draw_their_own_faces(tmp_path: Path, noise) -> None:
    script = tmp_path / "processes.py"
    script.write_text(PROCESSES.replace("@FACES@", inspect.getsource(noise)))
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[3])}
    subprocess.run([sys.executable, str(script), str(tmp_path)], env=environment, timeout=300, check=True)
    (weights, drawn), (same_weights, others_drawn) = ((tmp_path / f"rank_{k}").read_text().split() for k in (0, 1))
    assert weights == same_weights
    assert drawn != others_drawn
