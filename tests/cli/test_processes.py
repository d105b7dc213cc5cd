"""Whole commands with two processes, started by Lightning, torchrun and srun: one folder, one log, one output."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from celeba_lab.data.annotations import Annotations
from celeba_lab.data.shard_writer import ShardWriter
from celeba_lab.data.stores import JpegFolder

pytestmark = pytest.mark.slow

TWO = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]
PLAIN_REPORT = ["task.report.page=false", "task.report.tune=null", "task.report.estimator=null"]
SMALL = ["experiment=smile", "trainer=cpu", "~callbacks.progress_bar", "data.batch_size=8", *PLAIN_REPORT]
SMALL += ["model.backbone=squeezenet1_1", "model.weights=null", "model.image_size=32", "model.freeze=0"]
SECONDS = 300


def environment(**variables: object) -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1"} | {name: str(value) for name, value in variables.items()}


def srun(rank: int, job: int = 77, **variables: object) -> dict[str, str]:
    """Return the variables that srun sets for two processes on one machine."""
    own = {"SLURM_JOB_ID": job, "SLURM_STEP_ID": 0, "SLURM_NTASKS": 2, "SLURM_NTASKS_PER_NODE": 2, "SLURM_NNODES": 1}
    own |= {"SLURM_PROCID": rank, "SLURM_LOCALID": rank, "SLURM_NODEID": 0, "SLURM_NODELIST": "127.0.0.1"}
    return environment(**(own | variables))


Start = Callable[[list[str], Path, dict[str, str]], "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """``start(arguments, cwd, variables)`` starts a process, which does not outlive the test."""
    started: list[subprocess.Popen[str]] = []

    def run(arguments: list[str], cwd: Path, variables: dict[str, str]) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "celeba_lab", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        started.append(subprocess.Popen(command, cwd=cwd, env=variables, **pipes))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return opened.getsockname()[1]


def wait_for(path: Path, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + SECONDS
    while not path.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)


def finish(processes: list["subprocess.Popen[str]"]) -> tuple[list[int], list[str]]:
    printed = [process.communicate(timeout=SECONDS)[0] for process in processes]
    return [process.returncode for process in processes], printed


def metrics_of(folder: Path, read_summary: Callable) -> dict[str, float]:
    timed = ("train/images_per_second",)
    return {name: value for name, value in read_summary(folder)["metrics"].items() if name not in timed}


def test_a_requeued_job_of_slurm_goes_on_in_its_folder_and_equals_an_uninterrupted_one(
    tiny_celeba: Path, tmp_path: Path, read_summary: Callable, start: Start
) -> None:
    """SLURM warns both processes with SIGUSR1, and starts them again with the same command."""
    (tmp_path / "scontrol").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/called.txt\n')
    (tmp_path / "scontrol").chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    arguments = [*SMALL, *TWO, f"data.root={tiny_celeba}", "trainer.max_epochs=6", "data.limit=31"]
    folder = tmp_path / "outputs" / "smile" / "slurm_77"
    own = {"PATH": path, "MASTER_PORT": free_port()}

    processes = [start(arguments, tmp_path, srun(rank, **own)) for rank in (0, 1)]
    wait_for(folder / "tables" / "history.csv", processes[0])
    for process in processes:
        process.send_signal(signal.SIGUSR1)
    codes, (printed, nothing) = finish(processes)
    assert codes == [128 + signal.SIGUSR1] * 2, printed
    assert "To resume: python -m celeba_lab resume=outputs/smile/slurm_77" in printed
    assert "The job 77 was requeued." in printed
    assert (tmp_path / "called.txt").read_text() == "requeue 77\n"
    assert nothing == ""
    assert not (folder / "summary.json").exists()

    codes, (printed, nothing) = finish(
        [start(arguments, tmp_path, srun(r, **own, SLURM_RESTART_COUNT=1)) for r in (0, 1)]
    )
    assert codes == [0, 0], printed
    assert nothing == ""
    assert len(list(folder.glob("*.log"))) == 1
    codes, (printed, _) = finish([start(arguments, tmp_path, srun(rank, 78, **own)) for rank in (0, 1)])
    assert codes == [0, 0], printed
    assert sorted(path.name for path in folder.parent.iterdir()) == ["slurm_77", "slurm_78"]
    whole = folder.with_name("slurm_78")
    assert metrics_of(folder, read_summary) == metrics_of(whole, read_summary)
    weights = [
        torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"] for run in (folder, whole)
    ]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


@pytest.fixture
def shards(tiny_celeba: Path, tmp_path: Path) -> Path:
    """The tiny CelebA in shards of two images, so that each epoch consists of several sets of shards."""
    pytest.importorskip("litdata")
    annotations = Annotations.load(tiny_celeba)
    files = JpegFolder(tiny_celeba / "img_align_celeba" / "img_align_celeba", annotations.image_ids, 32, 10**6)
    rows = np.arange(len(annotations.image_ids))
    tables = {name: text.encode() for name, text in annotations.to_csv(rows).items()}
    ShardWriter(f"{tmp_path}/shards", shard_bytes=2 * len(files.content(0))).write(files, rows, tables)
    return tmp_path / "shards"


@pytest.mark.parametrize("processes", [1, 2])
def test_an_interrupted_run_on_shards_equals_an_uninterrupted_one_after_it_is_resumed(
    shards: Path, tmp_path: Path, read_summary: Callable, start: Start, processes: int
) -> None:
    """With one process, two workers read the shards, and with two processes, one worker of each."""
    data = [f"data.root={shards}", "data.store=shards", f"data.num_workers={3 - processes}", "data.limit=31"]
    arguments = [*SMALL, *(TWO if processes == 2 else []), *data, "trainer.max_epochs=6"]
    stopped, whole = tmp_path / "stopped", tmp_path / "whole"
    run = start([*arguments, f"hydra.run.dir={stopped}"], tmp_path, environment())
    wait_for(stopped / "tables" / "history.csv", run)
    run.send_signal(signal.SIGTERM)
    codes, [printed] = finish([run])
    assert codes == [128 + signal.SIGTERM], printed
    assert not (stopped / "summary.json").exists()
    for command in ([f"resume={stopped}"], [*arguments, f"hydra.run.dir={whole}"]):
        codes, [printed] = finish([start(command, tmp_path, environment())])
        assert codes == [0], printed
    assert metrics_of(stopped, read_summary) == metrics_of(whole, read_summary)
    weights = [
        torch.load(each / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"] for each in (stopped, whole)
    ]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    table = pd.read_csv(stopped / "tables" / "predictions_test.csv")
    assert len(table) == table["image_id"].nunique() == 8


def test_torchrun_uses_one_folder_and_evaluates_like_one_process(
    tiny_celeba: Path, tmp_path: Path, run_command: Callable, read_summary: Callable
) -> None:
    """Seven images are divided into four and three, so the processes have different numbers of batches."""
    training = [*SMALL, f"data.root={tiny_celeba}", "trainer.max_epochs=1", "hydra.run.dir=trained"]
    assert run_command(*training, cwd=tmp_path).returncode == 0
    evaluation = ["task=evaluate", "checkpoint=trained/checkpoints/best.ckpt", f"data.root={tiny_celeba}"]
    evaluation += [*PLAIN_REPORT, "data.limit=7", "data.eval_batch_size=3"]
    alone = run_command(*evaluation, "trainer=cpu", "hydra.run.dir=alone", cwd=tmp_path)
    assert alone.returncode == 0, alone.stderr
    launcher = ["torch.distributed.run", "--nproc-per-node=2", "--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0"]
    command = [sys.executable, "-m", *launcher, "-m", "celeba_lab", *evaluation, *TWO]
    result = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert result.returncode == 0, result.stderr
    [folder] = tmp_path.glob("outputs/*/*")
    assert result.stdout.count("run folder:") == 1
    assert len(list(folder.glob("*.log"))) == 1
    found, expected = metrics_of(folder, read_summary), metrics_of(tmp_path / "alone", read_summary)
    assert found == pytest.approx(expected, abs=1e-6, nan_ok=True)
    tables = [pd.read_csv(path / "tables" / "predictions_test.csv") for path in (folder, tmp_path / "alone")]
    assert tables[0]["image_id"].tolist() == tables[1]["image_id"].tolist()
    numbers = [table.select_dtypes("number").to_numpy() for table in tables]
    np.testing.assert_allclose(numbers[0], numbers[1], atol=1e-6)


def test_two_processes_predict_each_image_file_once_and_in_order(
    write_celeba: Callable, tiny_celeba: Path, tmp_path: Path, run_command: Callable, read_summary: Callable
) -> None:
    """Eleven files, of which two are damaged, are divided into batches that differ between the processes."""
    training = [*SMALL, f"data.root={tiny_celeba}", "trainer.max_epochs=1", "hydra.run.dir=trained"]
    assert run_command(*training, cwd=tmp_path).returncode == 0
    photos = next(write_celeba(tmp_path / "faces", n=11).glob("*/*"))
    for name in ("000002.jpg", "000011.jpg"):
        (photos / name).write_bytes((photos / name).read_bytes()[:500])
    prediction = ["task=predict", "checkpoint=trained/checkpoints/best.ckpt", f"task.images={photos}"]
    prediction += ["data.eval_batch_size=3", "data.on_bad_image=skip", "data.max_bad_fraction=1"]
    alone = run_command(*prediction, "trainer=cpu", "hydra.run.dir=alone", cwd=tmp_path)
    assert alone.returncode == 0, alone.stderr
    command = [sys.executable, "-m", "celeba_lab", *prediction, *TWO]
    result = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
    [folder] = tmp_path.glob("outputs/*/*")
    assert [result.stdout.count(text) for text in ("if stopped:", "9 images:", "run folder:")] == [1, 1, 1]
    assert len(list(folder.glob("*.log"))) == 1
    assert read_summary(folder)["data"]["images"] == {"predict": 9}
    tables = [pd.read_csv(path / "tables" / "predictions.csv") for path in (folder, tmp_path / "alone")]
    names = [Path(name).name for name in tables[0]["image"]]
    assert names == [f"{number:06d}.jpg" for number in range(1, 12) if number not in (2, 11)]
    np.testing.assert_allclose(tables[0]["Smiling"], tables[1]["Smiling"], atol=1e-6)
    skipped = [(path / "tables" / "bad_images.csv").read_text() for path in (folder, tmp_path / "alone")]
    assert skipped[0] == skipped[1]
    assert skipped[0].count("damaged") == 2


def children_of(process: "subprocess.Popen[str]") -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(process.pid)], capture_output=True, text=True)
    return [int(line.split()[0]) for line in listed.stdout.splitlines() if "celeba_lab" in line]


def test_all_processes_end_with_one_sentence_if_one_is_killed(tiny_celeba: Path, tmp_path: Path, start: Start) -> None:
    arguments = [*SMALL, *TWO, f"data.root={tiny_celeba}", "trainer.max_epochs=5000", "hydra.run.dir=run"]
    process = start(arguments, tmp_path, environment())
    wait_for(tmp_path / "run" / "tables" / "history.csv", process)
    [child] = children_of(process)
    os.kill(child, signal.SIGKILL)
    [code], [printed] = finish([process])
    assert code == 1, printed
    assert printed.count("celeba_lab: error: ") == 1
    assert "Another process of this run has ended unexpectedly" in printed
    assert "To resume: python -m celeba_lab resume=run" in printed
    assert "Traceback" not in printed


@pytest.mark.parametrize(
    ("arguments", "variables", "sentence"),
    [
        (TWO[:2], {}, "srun has started 2 processes, but trainer.devices=1 and trainer.num_nodes=1 ask for 1."),
        (["-m", "seed=1,2"], {}, "A sweep cannot be combined with srun"),
        (["task=generate", "checkpoint=none.ckpt"], {}, "task=generate uses a single process, but srun has started 2."),
        (TWO, {"SLURM_PROCID": "9"}, "SLURM_PROCID=9 must be a whole number, between 0 and 1."),
        (TWO, {"RANK": "0"}, "RANK=0 is set, but WORLD_SIZE and LOCAL_RANK and MASTER_ADDR and MASTER_PORT are not."),
    ],
)
def test_a_wrong_start_is_explained_in_one_sentence(
    tiny_celeba: Path,
    tmp_path: Path,
    start: Start,
    arguments: list[str],
    variables: dict[str, str],
    sentence: str,
) -> None:
    command = [*([] if "task=generate" in arguments else SMALL), f"data.root={tiny_celeba}", *arguments]
    [code], [printed] = finish([start(command, tmp_path, srun(0, **variables))])
    assert code == 1, printed
    assert sentence in printed.replace("\n", " ")
    assert printed.count("celeba_lab: error: ") == 1
    assert "Traceback" not in printed
