"""Decode all images once, ahead of the runs that use them, or write the image files to shards."""

from time import perf_counter

import numpy as np
from omegaconf import DictConfig

from celeba_lab.console import command_line, console, format_override
from celeba_lab.data.attributes import ATTRIBUTES
from celeba_lab.data.checks import find_unusable
from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.data.pack import format_bytes
from celeba_lab.data.packed import Packed
from celeba_lab.data.shard_writer import ShardWriter
from celeba_lab.data.synthetic.settings import RECORD
from celeba_lab.engine.build import build_datamodule
from celeba_lab.errors import SettingError, UserError, check_choice
from celeba_lab.runs.run import Run, write_bad_images

FORMATS = ("packed", "shards")


def pack(cfg: DictConfig, image_size: int = 128, format: str = "packed", output: str | None = None) -> dict[str, float]:
    """Pack the images of all selected splits.

    Args:
        cfg: Configuration of the run.
        image_size: Side length of the packed faces in pixels.
        format: ``packed`` writes decoded faces, which ``data.store=packed`` and ``auto`` read. ``shards`` writes the
            image files to shards, which ``data.store=shards`` reads.
        output: New folder or address for shards. Default: ``data.root`` with ``_shards`` appended.

    Returns:
        The metrics ``pack/images``, ``pack/bytes`` and, if images were packed by this run, ``pack/images_per_second``.

    Raises:
        UserError: An image cannot be used, the disk is too small, or a file cannot be written.
    """
    check_choice("format", format, FORMATS)
    if cfg.data.store == "shards":
        raise SettingError("data.store", "shards", "cannot be packed", "Set data.root to the images.", is_absolute=True)
    run = Run.open(cfg)
    store = "packed" if format == "packed" else "jpeg"
    data = cfg.data.copy()
    data.store = store
    datamodule = build_datamodule(data, ATTRIBUTES, image_size)
    for split in datamodule.partitions:
        if datamodule.counts[split]:
            datamodule.setup_split(split)
    console.print(datamodule.describe())
    rows, target = datamodule.rows, output or f"{datamodule.root}_shards"
    start = perf_counter()
    if format == "packed":
        count, size, where = _pack_faces(datamodule, rows)
        next_command = ["data.store=packed", *run.data_overrides, f"model.image_size={image_size}"]
    else:
        count, size, where = _write_shards(datamodule, rows, target)
        next_command = [f"data={cfg.data.name}", "data.store=shards", format_override("data.root", target)]
    seconds = perf_counter() - start
    speed = f"{count:,} images in {seconds:.1f} s" if count else "all images had been packed before"
    console.print(f"packed: {len(rows):,} images, {format_bytes(size)} in {where} ({speed})", soft_wrap=True)
    write_bad_images(run, datamodule)
    metrics = {"pack/images": float(len(rows)), "pack/bytes": float(size)}
    return run.finish(
        metrics | ({"pack/images_per_second": count / seconds} if count else {}),
        data=datamodule.facts(),
        next_commands=[("train", command_line(["experiment=smile", *next_command]))],
    )


def _pack_faces(datamodule: CelebADataModule, rows: np.ndarray) -> tuple[int, int, str]:
    """Pack faces, and return the number of faces that had not been packed before, the bytes and the path."""
    assert isinstance(datamodule.faces, Packed)
    pack = datamodule.faces.pack
    missing = pack.find(rows).missing
    datamodule.faces.prepare(rows, reads=len(rows))
    for row in rows[~pack.find(rows).held]:
        datamodule.files.load(row)  # raises the error of the first image that cannot be used
    return missing, pack.bytes_of(len(rows)), str(pack.path)


def _write_shards(datamodule: CelebADataModule, rows: np.ndarray, target: str) -> tuple[int, int, str]:
    """Write image files to shards, and return the number of files, the bytes and the folder or address."""
    try:
        writer = ShardWriter(target)
    except SettingError as error:
        raise error.renamed("output") from None
    if datamodule.on_bad_image == "raise":  # skip has decoded the images already
        for sentence in find_unusable(datamodule.files, rows, "Checking the images").values():
            raise UserError(sentence)
    tables = {name: text.encode() for name, text in datamodule.annotations.to_csv(rows).items()}
    record = datamodule.root / RECORD
    if record.is_file():
        tables[RECORD] = record.read_bytes()
    return len(rows), writer.write(datamodule.files, rows, tables), target
