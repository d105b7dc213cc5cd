"""Command lines with misspelt or missing parts, and paths that lead nowhere."""

from collections.abc import Iterator
from pathlib import Path

from bad_inputs import BadInput
from small_data import draw_faces


def cases(folder: Path) -> Iterator[BadInput]:
    """Yield one command for each mistake."""
    root = draw_faces(folder / "faces")
    made = folder / "made"
    made.mkdir(exist_ok=True)
    (made / "empty").mkdir(exist_ok=True)
    (made / "text.txt").write_text("no image")
    (made / "empty.ckpt").touch()
    lightning = "lightning.pytorch.callbacks"
    own = [f"data.root={root}"]
    names = {
        "misspelt group": (["experimnt=smile"], "experimnt"),
        "misspelt experiment": (["experiment=smlie"], "smlie"),
        "misspelt setting": (["experiment=smile", "model.learning_rate=1"], "learning_rate"),
        "misspelt root": (["experiment=smile", "sed=1"], "sed"),
        "new root key": (["experiment=smile", "+lr=1"], "lr"),
        "deleted group": (["experiment=smile", "~modl"], "modl"),
        "deleted setting": (["experiment=smile", "~model.nothing"], "model.nothing"),
        "no equals sign": (["experiment=smile", "seed"], "seed"),
        "space around =": (["experiment=smile", "seed = 1"], "seed"),
        "dashes": (["experiment=smile", "--seed=1"], "--seed"),
        "only =": (["experiment=smile", "="], "="),
        "open bracket": (["experiment=smile", "model.attributes=[Smiling"], "model.attributes=[Smiling"),
        "open quote": (["experiment=smile", "name='a"], "name='a"),
        "open brace": (["experiment=smile", "model.augment={flip:0.5"], "model.augment={flip:0.5"),
        "sweep without -m": (["experiment=smile", "seed=1,2"], "seed=1,2"),
        "unknown task": (["task=trian"], "trian"),
        "task of another group": (["task=train/report"], "report"),
        "unknown data": (["experiment=smile", "data=imagenet"], "imagenet"),
        "unknown callback": (["experiment=smile", "callbacks=[default,early_stoping]"], "early_stoping"),
        "a callback alone": (["experiment=smile", "callbacks=early_stopping"], "callbacks=[default,early_stopping]"),
        "two averages": (["experiment=smile", "callbacks=[default,swa]", "model.weights=null", *own], "callbacks.ema"),
        "a finder for a GAN": (["experiment=gan", "callbacks=[gan,lr_finder]", *own], "callbacks.lr_finder"),
        "accumulation for a GAN": (["experiment=gan", "callbacks=[gan,accumulation]", *own], "callbacks.accumulation"),
        "averaging for a GAN": (["experiment=gan", "callbacks=[gan,swa]", *own], "callbacks.swa"),
        "clipping for a GAN": (["experiment=gan", "trainer.gradient_clip_val=1", *own], "trainer.gradient_clip_val"),
        "validation of a GAN": (["experiment=gan", "callbacks=[default,early_stopping]", *own], "val/accuracy"),
        "unknown profiler": (["experiment=smile", "profiler=fast"], "fast"),
        "unknown debug preset": (["experiment=smile", "debug=one_bach"], "one_batch"),
        "debug preset of an analysis": (["experiment=clusters", "debug=one_batch"], "debug=one_batch"),
        "overfitting of a GAN": (["experiment=gan", "debug=overfit"], "debug=overfit"),
        "bad direction": (["experiment=smile", "direction=up", *own], "direction=up"),
        "bad direction of a sweep": (["-m", "experiment=smile", "seed=1,2", "direction=up"], "direction=up"),
        "bad fail_fast": (["-m", "experiment=smile", "seed=1,2", "fail_fast=maybe"], "fail_fast"),
        "misspelt score": (["-m", "experiment=smile", "seed=1,2", "score=val/acuracy"], "val/accuracy"),
        "setting of another launcher": (["-m", "experiment=smile", "seed=1,2", "hydra.launcher.n_jobs=2"], "joblib"),
        "unknown trainer": (["experiment=smile", "trainer=gpus"], "gpus"),
        "no folder": (["experiment=smile", "data=celeba", "data.root=nowhere"], "nowhere"),
        "empty folder": (["experiment=smile", "data=celeba", f"data.root={made}/empty"], "empty"),
        "file as folder": (["experiment=smile", "data=celeba", f"data.root={made}/text.txt"], "text.txt"),
        "device as folder": (["experiment=smile", "data=celeba", "data.root=/dev/zero"], "/dev/zero"),
        "no checkpoint": (["task=evaluate", *own], "checkpoint"),
        "missing checkpoint": (["task=evaluate", "checkpoint=no.ckpt", *own], "no.ckpt"),
        "folder as checkpoint": (["task=evaluate", f"checkpoint={made}", *own], str(made)),
        "device as checkpoint": (["task=evaluate", "checkpoint=/dev/zero", *own], "/dev/zero is not a regular file"),
        "device as weights": (["experiment=smile", "model.weights=/dev/zero", *own], "/dev/zero is not a regular file"),
        "empty checkpoint": (["task=evaluate", f"checkpoint={made}/empty.ckpt", *own], "empty.ckpt"),
        "text as checkpoint": (["task=evaluate", f"checkpoint={made}/text.txt", *own], "text.txt"),
        "no images": (["task=predict", f"checkpoint={made}/empty.ckpt"], "task.images"),
        "missing images": (["task=predict", f"checkpoint={made}/empty.ckpt", "task.images=no/*.jpg"], "empty.ckpt"),
        "missing weights": (["experiment=smile", "model.weights=no.pth", *own], "no.pth"),
        "unknown weights": (["experiment=smile", "model.weights=IMAGENET9", *own], "IMAGENET9"),
        "folder as weights": (["experiment=smile", f"model.weights={made}/empty", *own], "empty"),
        "missing runs": (["task=compare", "task.runs=nothing/*"], "nothing/*"),
        "empty runs": (["task=compare", f"task.runs={made}/empty"], "empty"),
        "no runs": (["task=compare"], "task.runs"),
        "missing run to resume": (["resume=nowhere"], "nowhere"),
        "empty run to resume": ([f"resume={made}/empty"], "empty"),
        "file to resume": ([f"resume={made}/text.txt"], "text.txt"),
        "resume and sweep": (["resume=nowhere", "-m"], "resume"),
        "resume without folder": (["resume="], "resume"),
        "checkpoint for training": (["experiment=smile", f"checkpoint={made}/empty.ckpt", *own], "checkpoint"),
        "unknown auditor": (["experiment=gan", "task.auditor=no.ckpt", *own], "no.ckpt"),
        "unknown features": (["experiment=gan", "task.distances.feature_extractor=vgg", *own], "vgg"),
        "run folder below a file": (["experiment=smile", f"hydra.run.dir={made}/text.txt/run", *own], "text.txt"),
        "run folder in /proc": (["experiment=smile", "hydra.run.dir=/proc/run", *own], "/proc"),
        "name too long": (["experiment=smile", f"hydra.run.dir={made}/{'a' * 300}", *own], "aaaa"),
        "unknown option": (["experiment=smile", "--nonsense"], "--nonsense"),
        "interpolation": (["experiment=smile", "seed=${nothing}"], "nothing"),
        "resolver": (["experiment=smile", "seed=${oc.env:NOT_SET_ANYWHERE}"], "NOT_SET_ANYWHERE"),
        "recursive": (["experiment=smile", "seed=${seed}"], "seed"),
        "dangerous task": (["task._target_=os.getcwd", "experiment=smile"], "os.getcwd"),
        "dangerous callback": (["experiment=smile", "+callbacks.x._target_=shutil.rmtree"], "rmtree"),
        "callback of no module": (["experiment=smile", "+callbacks.x._target_=Nothing"], "Nothing"),
        "missing callback": (["experiment=smile", f"+callbacks.x._target_={lightning}.No"], "callbacks.No"),
        "setting of a callback": (
            ["experiment=smile", f"+callbacks.x._target_={lightning}.Timer", "+callbacks.x.hours=1"], "hours",
        ),
        "options that exclude each other": (["experiment=smile", "-m", "--cfg", "job", "seed=1,2"], "-m"),
        "loss of the GAN": (["experiment=smile", "loss=gan/hinge"], "gan/hinge"),
        "recipe of the GAN": (["experiment=smile", "recipe=gan/default"], "gan/default"),
        "control characters": (["experiment=\x1b[31mred"], "red"),
        "markup": (["experiment=[/red]"], "red"),
        "very long": (["experiment=" + "a" * 5000], "aaaa"),
        "trusted os": (["experiment=smile", "trusted_modules=[os]"], "os"),
    }  # fmt: skip
    for name, (arguments, culprit) in names.items():
        yield BadInput("command_lines", name, arguments, culprit)
    small = ["trainer=cpu", "model.image_size=16", "recipe.max_epochs=1", *own]
    folders = {
        "callbacks.best.dirpath=/proc/x": "experiment=smile",
        "callbacks.epoch_log.path=/proc/x/log.csv": "experiment=smile",
        "callbacks.samples.folder=/proc/x": "experiment=gan",
        "logger.tensorboard.save_dir=/proc/x": "experiment=gan",
    }
    loggers = {
        "logger=tensorbord": "tensorbord",
        "logger=[tensorboard,csvv]": "csvv",
        "logger=tensorboard,csv": "logger",
        "+logger.x._target_=lightning.pytorch.loggers.Nothing": "Nothing",
        "+logger.x._target_=os.getcwd": "os.getcwd",
        "+logger.x.save_dir=x": "logger.x",
    }
    for override, culprit in loggers.items():
        yield BadInput("command_lines", override, ["experiment=smile", *small, override], culprit)
    for module in ("wandb", "mlflow"):
        given = ["experiment=smile", *small, f"logger={module}"]
        yield BadInput("command_lines", f"{module} is missing", given, f"celeba-lab[{module}]", hidden=module)
    for override, experiment in folders.items():
        yield BadInput("command_lines", override, [experiment, *small, override], "/proc/x", starts=True)
