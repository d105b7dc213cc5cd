"""``task=export`` writes a generator that generates the same faces as the checkpoint."""

from pathlib import Path

import pytest
import torch

from celeba_lab.engine.checkpoints import load_generator, load_sampler
from celeba_lab.errors import UserError
from celeba_lab.models.gan.module import GAN


def test_an_exported_generator_generates_the_same_faces(gan, tmp_path: Path, run_command, read_summary) -> None:
    result = run_command("task=export", f"checkpoint={gan.checkpoint}", "hydra.run.dir=e", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    exported = load_sampler(str(tmp_path / "e" / "generator.safetensors"))
    whole = GAN.load_from_checkpoint(gan.checkpoint, map_location="cpu", weights_only=True).eval()
    for (faces, requested), (again, requested_again) in [
        (exported.sample(6, seed=1), whole.sampler().sample(6, seed=1))
    ]:
        assert torch.equal(faces, again)
        assert torch.equal(requested, requested_again)
    assert exported.trained_on == "celeba"
    assert exported.generator_weights == read_summary(tmp_path / "e")["generator_weights"] == "ema"
    advice = r"^generator_weights=raw cannot be used, because .* contains only the averaged weights\. Export the"
    with pytest.raises(UserError, match=advice):
        load_sampler(str(tmp_path / "e" / "generator.safetensors"), "raw")
    with pytest.raises(UserError, match="is an exported generator, which can only be used to generate faces"):
        load_generator(str(tmp_path / "e" / "generator.safetensors"), "export its generator")
    drawn = ["task=generate", "checkpoint=e/generator.safetensors", "hydra.run.dir=g"]
    result = run_command(*drawn, cwd=tmp_path)  # Neither the data nor the checkpoint is needed.
    assert result.returncode == 0, result.stderr
    assert "because the generator was trained on celeba, but this run uses synthetic" in " ".join(result.stdout.split())
    assert not (tmp_path / "data").exists()  # No synthetic faces are drawn unnecessarily.
    assert len(list((tmp_path / "g" / "faces").iterdir())) == 16


def test_a_file_that_is_not_a_generator_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"is damaged or is not a safetensors file \(.*\)"):
        load_sampler(str(tmp_path / "a.safetensors"))
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / "b.safetensors")
    with pytest.raises(UserError, match="is not an exported generator"):
        load_sampler(str(tmp_path / "b.safetensors"))
