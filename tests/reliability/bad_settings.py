"""Settings that are out of range, of the wrong type, or unknown."""

from collections.abc import Iterator
from pathlib import Path

from bad_inputs import BadInput
from small_data import draw_faces

INTEGERS = ["-1", "1.5", "many", "null", "[1]"]
FRACTIONS = ["-0.1", "1.1", "nan", "inf", "much"]
POSITIVE = ["0", "-1", "nan", "inf", "-inf", "fast"]
# Bad values of each setting, by experiment. A setting that accepts null does not list it.
SMILE = {
    "seed": ["-1", "4294967296", "1.5", "one", "null"],
    "data.batch_size": ["0", "1", *(value for value in INTEGERS if value != "null")],
    "data.eval_batch_size": ["0", "-1", "1.5", "x"],
    "data.num_workers": ["-1", "1.5", "x", "100000"],
    "data.limit": ["0", "1", "-1", "1.5", "x"],
    "data.max_bad_fraction": FRACTIONS,
    "data.max_pixels": ["0", "-1", "x", "null"],
    "data.store": ["ram", "null", "1"],
    "data.on_bad_image": ["ignore", "null"],
    "data.partitions": ["[]", "[tst]", "train,val", "[train,train]"],
    "model.image_size": ["0", "1", "-8", "1.5", "x", "null", "100000"],
    "model.resolution": ["0", "-1", "1.5", "x"],
    "model.lr": POSITIVE,
    "model.weight_decay": ["-1", "nan", "inf", "x", "null"],
    "model.warmup": FRACTIONS,
    "model.freeze": FRACTIONS,
    "model.freeze_later": ["-0.1", "1.1", "x", "nan"],
    "model.freeze_last": ["-0.1", "1.1", "x", "nan"],
    "model.unfreeze_epoch": ["-1", "1.5", "x"],
    "model.label_smoothing": ["-0.1", "1", "2", "nan", "x"],
    "model.mixup": ["-1", "nan", "inf", "x", "null"],
    "model.threshold": ["-0.1", "1.1", "nan", "x", "null"],
    "model.zoom_average": ["-0.1", "nan", "x"],
    "model.flip_average": ["2", "x", "null"],
    "model.attributes": ["[]", "[Smile]", "[Smiling,Smiling]", "null", "7"],
    "model.backbone": ["resnet", "null", "7"],
    "model.optimizer": ["Adamm", "null", "Optimizer"],
    "model.schedule": ["linear", "null"],
    "model.augment.flip": ["3", "-0.1", "nan", "x"],
    "model.augment.shift": ["-0.1", "2", "nan", "x"],
    "model.augment.scale": ["-0.1", "2", "nan", "x"],
    "model.augment.rotate": ["-1", "1000", "nan", "x"],
    "model.augment.light": ["-0.1", "2", "nan", "x"],
    "+model.augment.twist": ["1"],
    "model.loss.name": ["bse", "null"],
    "trainer.max_epochs": ["0", "-2", "1.5", "x"],
    "trainer.limit_train_batches": ["0", "-1", "0.0", "1.5", "x"],
    "trainer.limit_val_batches": ["0", "-1", "1.5", "x"],
    "trainer.limit_test_batches": ["0", "-1", "1.5", "x"],
    "trainer.accumulate_grad_batches": ["0", "-1", "1.5", "x"],
    "trainer.gradient_clip_val": ["-1", "nan", "x"],
    "trainer.log_every_n_steps": ["-1", "1.5", "x"],
    "trainer.val_check_interval": ["0", "-1", "x"],
    "trainer.check_val_every_n_epoch": ["0", "-1", "x"],
    "trainer.precision": ["8", "half", "64-true", "16-true", "bf16-true"],
    "trainer.min_epochs": ["-1", "2", "1.5", "x"],
    "trainer.min_steps": ["-1", "1.5", "x"],
    "trainer.max_steps": ["0", "-2", "1.5", "x"],
    "trainer.num_sanity_val_steps": ["-2", "1.5", "x"],
    "trainer.devices": ["0", "-2", "x"],
    "trainer.accelerator": ["tpus", "cuda"],
    "trainer.strategy": ["dppp"],
    "trainer.max_time": ["x", "-1"],
    "trainer.num_nodes": ["0", "x"],
    "trainer.overfit_batches": ["-1", "x"],
    "callbacks.last.every_n_minutes": ["0", "-1", "nan", "x"],
    "callbacks.divergence.check_every_n_steps": ["0", "-1", "x"],
    "callbacks.image_grid.max_images": ["0", "-1", "x"],
    "callbacks.best.monitor": ["val/acuracy"],
    "callbacks.best.mode": ["maximum"],
    "+callbacks.best.save_top_k": ["-2", "1.5", "x"],
    "+callbacks.best.every_n_epochs": ["-1", "1.5", "x"],
    "+callbacks.last.save_top_k": ["3"],
    "print_config": ["all", "7"],
    "score": ["[1]"],
    "recipe.max_epochs": ["0", "x"],
}
AVERAGE = {"callbacks.ema.decay": ["2", "-1", "nan", "x", "null"]}
# Lightning itself can check these settings only when it trains.
LATE = {
    "trainer.val_check_interval": ["1000"],
    "callbacks.best.monitor": ["val/nothing"],
    "+callbacks.stop": ["{_target_: lightning.pytorch.callbacks.EarlyStopping, monitor: val/nothing}"],
}
LATE_GAN = {name: values for name, values in LATE.items() if name != "callbacks.best.monitor"}
GAN = {
    "model.image_size": ["0", "1", "33", "x", "512"],
    "model.latent_size": ["0", "-1", "x"],
    "model.width": ["0", "-1", "x"],
    "model.discriminator_width": ["0", "-1", "x"],
    "model.lr": ["0", "-1", "nan", "x"],
    "model.discriminator_lr": ["0", "-1", "nan", "x"],
    "model.betas": ["[1]", "[0.5,1]", "[-1,0.9]", "x", "[0.5,nan]"],
    "model.ema": ["2", "-1", "nan", "x"],
    "model.n_disc": ["0", "-1", "x"],
    "model.r1": ["-1", "nan", "x"],
    "model.gradient_penalty": ["-1", "nan", "x"],
    "model.auxiliary": ["-1", "nan", "x"],
    "model.flip": ["2", "-1", "nan", "x"],
    "model.normalization": ["layer", "null"],
    "model.augment.color": ["-1", "2", "nan", "x"],
    "model.augment.cutout": ["-1", "2", "nan", "x"],
    "task.nearest": ["-1", "65", "x"],
    "task.distances.n_images": ["2", "-1", "x"],
    "task.distances.every_n_epochs": ["0", "x"],
    "task.distances.splits": ["[]", "[train]", "[tst]"],
    "callbacks.samples.n": ["0", "65", "x"],
    "callbacks.samples.every_n_epochs": ["0", "x"],
    "callbacks.health.patience": ["0", "x"],
}
LOGISTIC = {
    "task.fraction": ["0", "-1", "1.1", "nan", "x"],
    "task.test_fraction": ["0", "1", "-1", "nan", "x"],
    "task.attributes": ["[]", "[Smile]", "7"],
    "task.n_jobs": ["0", "x"],
}
CLUSTERS = {
    "task.fraction": ["0", "1.1", "nan", "x"],
    "task.clusterer.n_clusters": ["0", "-1", "100000", "x"],
    "task.report.seeds": ["-1", "x"],
}
GROUPS = ["model", "data", "task", "trainer", "callbacks", "logger", "recipe", "experiment", "loss", "hydra"]


def cases(folder: Path) -> Iterator[BadInput]:
    """Yield one command for each bad value."""
    root = draw_faces(folder / "faces")
    small = ["trainer=cpu", f"data.root={root}", "model.weights=null", "recipe.max_epochs=1", "model.image_size=16"]
    small += ["model.backbone=shufflenet_v2_x0_5"]
    gan = [
        "experiment=gan",
        "trainer=cpu",
        f"data.root={root}",
        "recipe.max_epochs=1",
        "task.distances.every_n_epochs=1",
    ]
    tables = [
        ("smile", ["experiment=smile", *small], SMILE),
        ("average", ["experiment=smile", "recipe=strong", *small], AVERAGE),
        ("late", ["experiment=smile", *small], LATE),
        ("gan", gan, GAN),
        ("late gan", gan, LATE_GAN),
        ("logistic", ["experiment=logistic", f"data.root={root}"], LOGISTIC),
        ("clusters", ["experiment=clusters", f"data.root={root}"], CLUSTERS),
    ]
    for name, arguments, settings in tables:
        for key, values in settings.items():
            for value in dict.fromkeys(values):
                culprit, starts = key.lstrip("+").rpartition(".")[2], name.startswith("late")
                yield BadInput("settings", f"{name} {key}={value}", [*arguments, f"{key}={value}"], culprit, starts)
    for group in GROUPS:
        for value in ("null", "nothing", "", "[a,b]", "1"):
            yield BadInput("settings", f"{group}={value}", ["experiment=smile", *small, f"{group}={value}"], group)
