"""Checkpoints, weights and exports that are damaged, or that can be read but do not fit."""

import io
import json
import pickle
import random
import shutil
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from bad_inputs import BadInput
from small_data import draw_faces, export_generator, train_classifier, train_gan

Content = dict[str, Any]
Change = Callable[[Content], Any]


def _set(*path: str, value: Any) -> Change:
    """Return a function that sets an entry at any depth of a checkpoint."""

    def change(content: Content) -> Content:
        node = content
        for key in path[:-1]:
            node = node[key]
        node[path[-1]] = value
        return content

    return change


def _drop(*path: str) -> Change:
    def change(content: Content) -> Content:
        node = content
        for key in path[:-1]:
            node = node[key]
        del node[path[-1]]
        return content

    return change


def _each(function: Callable[[torch.Tensor], Any]) -> Change:
    def change(content: Content) -> Content:
        content["state_dict"] = {name: function(value) for name, value in content["state_dict"].items()}
        return content

    return change


def _numbered(content: Content) -> Content:
    return content | {"state_dict": dict(enumerate(content["state_dict"].values()))}


WRONG = [None, 3, "text", [1], {"a": 1}, torch.zeros(2)]
COMMON: dict[str, Change] = {
    **{f"state_dict is {value!r}": _set("state_dict", value=value) for value in WRONG},
    **{f"hyper_parameters is {value!r}": _set("hyper_parameters", value=value) for value in WRONG},
    **{f"kind and format are {value!r}": _set("celeba_lab", value=value) for value in WRONG},
    "a list": lambda content: [content],
    "a tensor": lambda content: torch.zeros(3),
    "a number": lambda content: 7,
    "empty": lambda content: {},
    "without weights": _drop("state_dict"),
    "without hyperparameters": _drop("hyper_parameters"),
    "empty weights": _set("state_dict", value={}),
    "empty hyperparameters": _set("hyper_parameters", value={}),
    "numbers as weights": _each(lambda tensor: 1.0),
    "weights of other shapes": _each(lambda tensor: torch.zeros(3, 3)),
    "expanded weights": _each(lambda tensor: torch.zeros(1).expand(10**9)),
    "weights without numbers": _each(lambda tensor: tensor.to("meta")),
    "sparse weights": _each(lambda tensor: tensor.to_sparse() if tensor.ndim == 2 else tensor),
    "newer format": _set("celeba_lab", "format", value=99),
    "format as text": _set("celeba_lab", "format", value="1"),
    "unknown kind": _set("celeba_lab", "kind", value="diffusion"),
    "kind as a list": _set("celeba_lab", "kind", value=["gan"]),
    "negative epoch": _set("epoch", value=-1),
    "epoch as text": _set("epoch", value="3"),
}
CLASSIFIER: dict[str, Change] = {
    **COMMON,
    "unknown backbone": _set("hyper_parameters", "backbone", value="resnet19"),
    "other backbone": _set("hyper_parameters", "backbone", value="resnet18"),
    "attributes as text": _set("hyper_parameters", "attributes", value="Smiling"),
    "more attributes": _set("hyper_parameters", "attributes", value=["Smiling", "Male"]),
    "no attributes": _set("hyper_parameters", "attributes", value=[]),
    "image size as text": _set("hyper_parameters", "image_size", value="big"),
    "image size of 5000": _set("hyper_parameters", "image_size", value=5000),
    "resolution of 60,000": _set("hyper_parameters", "resolution", value=60_000),
    "huge backbone": _set("hyper_parameters", "backbone", value="vit_h_14"),
    "image size of 0": _set("hyper_parameters", "image_size", value=0),
    "no threshold": _set("hyper_parameters", "threshold", value=None),
    "threshold of 7": _set("hyper_parameters", "threshold", value=7),
    "without a head": _drop("state_dict", "head.weight"),
}
GAN: dict[str, Change] = {
    **COMMON,
    "other width": _set("hyper_parameters", "width", value=16),
    "width as text": _set("hyper_parameters", "width", value="wide"),
    "large width": _set("hyper_parameters", "width", value=2500),
    "huge width": _set("hyper_parameters", "width", value=10**7),
    "huge latents": _set("hyper_parameters", "latent_size", value=10**9),
    "image size of 17": _set("hyper_parameters", "image_size", value=17),
    "without ema": _drop("hyper_parameters", "ema"),
    "conditional": _set("hyper_parameters", "conditional", value=True),
    "trained on a number": _set("trained_on", value=7),
    "labels as a list": _set("training_labels", value=[1]),
}
# Initial weights do not need hyperparameters, a kind or a format.
_UNUSED = (
    "without hyperparameters",
    "empty hyperparameters",
    "hyper_parameters is {'a': 1}",
    "newer format",
    "unknown kind",
)
WEIGHTS: dict[str, Change] = {
    **{name: change for name, change in COMMON.items() if name not in _UNUSED},
    "numbers as names": _numbered,
    "a state dict with numbers as names": lambda content: _numbered(content)["state_dict"],
    "sparse weights": _each(lambda tensor: tensor.to_sparse()),
    "weights without values": _each(lambda tensor: tensor.to("meta")),
}
RESUMED: dict[str, Change] = {
    "without loops": _drop("loops"),
    "loops as a list": _set("loops", value=[1]),
    "without fit loop": _drop("loops", "fit_loop"),
    "epochs as text": _set("loops", "fit_loop", "epoch_progress", "current", "processed", value="two"),
    "without optimizers": _drop("optimizer_states"),
    "empty optimizers": _set("optimizer_states", value=[]),
    "optimizer of another network": _set("optimizer_states", value=[{"state": {}, "param_groups": []}]),
    "optimizers as text": _set("optimizer_states", value="Adam"),
    "small averages of an optimizer": lambda content: _in_optimizers(content, lambda value: torch.zeros(1)),
    "averages of an optimizer with stride 0": lambda content: _in_optimizers(
        content, lambda value: torch.zeros(1).expand(value.shape)
    ),
    "learning rate as text": lambda content: _in_groups(content, lr="fast"),
    "betas as a number": lambda content: _in_groups(content, betas=0.9),
    "maximising optimizer": lambda content: _in_groups(content, maximize=True),
    "callbacks as a list": _set("callbacks", value=[1]),
    "without callbacks": _set("callbacks", value=None),
    "random state as text": lambda content: _in_callback(content, "RandomState", "lottery"),
    "rows as text": lambda content: _in_callback(content, "EpochLog", "rows"),
    "position as text": lambda content: _in_data(content, "here"),
    "position without batches": lambda content: _in_data(content, {"epoch": 1, "page": 3}),
    "events as text": _set("events", value="many"),
    "sizes as text": _set("events", value={"sizes": "large", "pending": None}),
    "negative sizes": lambda content: _with_sizes(content, -1),
    "steps as text": _set("global_step", value="many"),
    "too many steps": _set("global_step", value=10**30),
    "without steps": _drop("global_step"),
    "too many batches": _set("loops", "fit_loop", "epoch_progress", "current", "ready", value=10**30),
    "averaged steps as text": lambda content: _add_callback(
        content, "ExponentialMovingAverage", latest_update_step="x"
    ),
    "seconds as text": lambda content: _in_callback(content, "Stopwatch", {"elapsed": "x", "validation": 0.0}),
    "random state of another type": lambda content: _in_callback(content, "RandomState", {"python": 5}),
}

RESUMED_CLASSIFIER: dict[str, Change] = {
    **RESUMED,
    "steps of a schedule as text": lambda content: _in_schedules(content, last_epoch="x"),
    "rates of a schedule as text": lambda content: _in_schedules(content, _last_lr=["x", "y"]),
}


def _with_sizes(content: Content, size: int) -> Content:
    """Return a checkpoint in which every event file of the run has this size."""
    return content | {"events": content["events"] | {"sizes": dict.fromkeys(content["events"]["sizes"], size)}}


def _in_optimizers(content: Content, function: Callable[[torch.Tensor], torch.Tensor]) -> Content:
    for optimizer in content["optimizer_states"]:
        for state in optimizer["state"].values():
            state.update({name: function(state[name]) for name in ("exp_avg", "exp_avg_sq")})
    return content


def _in_groups(content: Content, **values: Any) -> Content:
    for optimizer in content["optimizer_states"]:
        for group in optimizer["param_groups"]:
            group.update(values)
    return content


def _in_data(content: Content, value: Any) -> Content:
    return content | {
        key: value for key in ("CelebADataModule", "SyntheticDataModule", "TrainingFaces") if key in content
    }


def _in_callback(content: Content, name: str, value: Any) -> Content:
    content["callbacks"] = {key: value if name in key else state for key, state in content["callbacks"].items()}
    return content


def _add_callback(content: Content, name: str, **state: Any) -> Content:
    content["callbacks"][name] = state
    return content


def _in_schedules(content: Content, **values: Any) -> Content:
    content["lr_schedulers"] = [state | values for state in content["lr_schedulers"]]
    return content


def _quantized(tensor: torch.Tensor) -> torch.Tensor:
    return torch.quantize_per_tensor(tensor.float(), 0.1, 0, torch.qint8)


WEIGHTS: dict[str, Change] = {
    "integer names": lambda content: dict(enumerate(content["state_dict"].values())),
    "quantized": lambda content: {name: _quantized(value) for name, value in content["state_dict"].items()},
    "meta": lambda content: {name: value.to("meta") for name, value in content["state_dict"].items()},
    "expanded": lambda content: {name: torch.zeros(1).expand(10**9) for name in content["state_dict"]},
}


class _Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("EVIL CODE RAN",))


def _raw(good: bytes) -> dict[str, bytes]:
    """Return files that are no checkpoints."""
    stream, packed, old_format = io.BytesIO(), io.BytesIO(), io.BytesIO()
    torch.save({"state_dict": {}, "hyper_parameters": {}, "x": _Evil()}, stream)
    whole = torch.load(io.BytesIO(good), weights_only=True)
    torch.save(whole, old_format, _use_new_zipfile_serialization=False)
    with zipfile.ZipFile(io.BytesIO(good)) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    return {
        "empty": b"",
        "text": b"hello",
        "random": random.Random(1).randbytes(5000),
        "cut": good[: len(good) // 2],
        "without its end": good[:-100],
        "a changed byte": good[:1000] + b"\xff\xff\xff" + good[1003:],
        "a zip of nothing": b"PK\x05\x06" + bytes(18),
        "a pickle with code": pickle.dumps(_Evil()),
        "an archive with code": stream.getvalue(),
        "compressed": packed.getvalue(),
        "the old format without checksums": old_format.getvalue(),
        "HTML": b"<html>",
    }


def _exports(good: bytes) -> dict[str, bytes]:
    """Return damaged safetensors files."""
    length = struct.unpack("<Q", good[:8])[0]
    header, body = json.loads(good[8 : 8 + length]), good[8 + length :]

    def packed(change: Callable[[dict[str, Any], dict[str, Any]], None]) -> bytes:
        new = json.loads(json.dumps(header))
        configuration = json.loads(new["__metadata__"]["configuration"])
        change(new, configuration)
        if "configuration" in new.get("__metadata__", {}):
            new["__metadata__"]["configuration"] = json.dumps(configuration)
        text = json.dumps(new).encode()
        return struct.pack("<Q", len(text)) + text + body

    def settings(**values: Any) -> bytes:
        return packed(lambda new, configuration: configuration["settings"].update(values))

    def parts(**values: Any) -> bytes:
        return packed(lambda new, configuration: configuration.update(values))

    return {
        "empty": b"",
        "text": b"hello",
        "cut": good[: len(good) // 2],
        "without its end": good[:-10],
        "a huge header": struct.pack("<Q", 2**60) + good[8:],
        "a header that is no JSON": struct.pack("<Q", 4) + b"{{{{" + body,
        "no metadata": packed(lambda new, configuration: new.pop("__metadata__")),
        "other format": packed(lambda new, configuration: new["__metadata__"].update(format="pt")),
        "no configuration": packed(lambda new, configuration: new["__metadata__"].pop("configuration")),
        "width of 16": settings(width=16),
        "width as text": settings(width="x"),
        "large width": settings(width=3000),
        "huge width": settings(width=10**7),
        "image size of 17": settings(image_size=17),
        "unknown setting": settings(depth=3),
        "no settings": parts(settings={}),
        "settings as a list": parts(settings=[1]),
        "attributes as text": parts(attributes="Smiling"),
        "attributes without labels": parts(attributes=["Smiling"]),
        "unknown weights": parts(weights="best"),
        "trained on a list": parts(trained_on=[1]),
        "a tensor missing": packed(lambda new, configuration: new.pop(sorted(new)[-1])),
    }


def cases(folder: Path) -> Iterator[BadInput]:
    """Yield one command for each file."""
    root = draw_faces(folder / "faces")
    classifier, gan = train_classifier(folder), train_gan(folder)
    data = f"data.root={root}"
    small = ["trainer=cpu", "model.backbone=shufflenet_v2_x0_5", "model.image_size=32", "recipe.max_epochs=1"]
    uses = [
        (classifier, CLASSIFIER, ["task=evaluate", "trainer=cpu", data], "checkpoint", "best.ckpt"),
        (gan, GAN, ["task=generate", "task.n=4", "task.nearest=false", data], "checkpoint", "last.ckpt"),
        (gan, {"a GAN": lambda content: content}, ["task=evaluate", data], "checkpoint", "last.ckpt"),
        (classifier, {"a classifier": lambda content: content}, ["task=export"], "checkpoint", "best.ckpt"),
        (classifier, COMMON, ["experiment=gan", "trainer=cpu", data], "task.auditor", "best.ckpt"),
        (classifier, WEIGHTS, ["experiment=smile", *small, data], "model.weights", "best.ckpt"),
    ]
    for good, changes, arguments, key, name in uses:
        for text, change in changes.items():
            path = folder / "bad" / name
            path.parent.mkdir(exist_ok=True)
            torch.save(change(torch.load(good, weights_only=True)), path)
            yield BadInput("checkpoints", f"{arguments[0]}, {text}", [*arguments, f"{key}={path}"], str(path))
    for text, content in _raw(classifier.read_bytes()).items():
        path = folder / "bad" / "raw.ckpt"
        path.write_bytes(content)
        for arguments, key in ((["task=evaluate", data], "checkpoint"), (["experiment=smile", data], "model.weights")):
            yield BadInput("checkpoints", f"{key}, {text}", [*arguments, f"{key}={path}"], str(path))
    for text, change in WEIGHTS.items():
        path = folder / "bad" / "weights.pth"
        torch.save(change(torch.load(classifier, weights_only=True)), path)
        arguments = ["experiment=smile", data, f"model.weights={path}"]
        yield BadInput("checkpoints", f"model.weights, {text}", arguments, str(path))
    for text, content in _exports(export_generator(folder).read_bytes()).items():
        path = folder / "bad" / "generator.safetensors"
        path.write_bytes(content)
        arguments = ["task=generate", "task.n=4", "task.nearest=false", data, f"checkpoint={path}"]
        yield BadInput("checkpoints", f"export, {text}", arguments, str(path))
    for good, changes in ((classifier, RESUMED_CLASSIFIER), (gan, RESUMED)):
        for text, change in changes.items():
            run = folder / "bad" / "run"
            shutil.rmtree(run, ignore_errors=True)
            shutil.copytree(good.parents[1], run)
            (run / "summary.json").unlink()
            last = run / "checkpoints" / "last.ckpt"
            torch.save(change(torch.load(last, weights_only=True)), last)
            more = [f"resume={run}", "trainer.max_epochs=4"]
            yield BadInput("checkpoints", f"resume {good.parents[1].name}, {text}", more, "last.ckpt")
