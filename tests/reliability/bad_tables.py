"""Annotation tables and their archives, damaged in one place each."""

import gzip
import io
import os
import random
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from bad_inputs import BadInput
from small_data import draw_faces

LABELS, PARTITION = "list_attr_celeba.csv", "list_eval_partition.csv"


def _with_line(number: int, change: Callable[[str], str]) -> Callable[[bytes], bytes]:
    """Return a function that changes one line of a table."""

    def damage(data: bytes) -> bytes:
        lines = data.decode().split("\n")
        lines[number] = change(lines[number])
        return "\n".join(lines).encode()

    return damage


def _with_field(column: int, text: str, line: int = 3) -> Callable[[bytes], bytes]:
    def change(content: str) -> str:
        fields = content.split(",")
        fields[column] = text
        return ",".join(fields)

    return _with_line(line, change)


VALUES = ["2", "0.5", "x", "", "nan", "inf", "1e9", "99999999999999999999", "-", "1 1", "½", "0x1", "\x00", "=1+1"]
IDS = [
    "", " ", "../../etc/passwd", "/etc/passwd", "a/b.jpg", "a\\b.jpg", ".", "..", "a" * 300, "a" * 1_000_000,
    "a\tb.jpg", "a\x1b[31m.jpg", "C:x.jpg", "000001.jpg", "missing.jpg", "\u202egpj.exe",
]  # fmt: skip
LABEL_DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "a count of 5,000 digits": lambda data: b"1" * 5000 + b"\n" + data,
    "only a newline": lambda data: b"\n",
    "only a header": lambda data: data.split(b"\n")[0] + b"\n",
    "without header": lambda data: data.split(b"\n", 1)[1],
    "header twice": lambda data: data.split(b"\n")[0] + b"\n" + data,
    "unknown column": lambda data: data.replace(b"Smiling", b"Smilling", 1),
    "column twice": lambda data: data.replace(b"Smiling", b"Male", 1),
    "column removed from header": lambda data: data.replace(b",Smiling", b"", 1),
    "bare carriage return in header": lambda data: data.replace(b"Smiling", b"Smi\rling", 1),
    "quote in header": lambda data: data.replace(b"Smiling", b'"Smiling', 1),
    "semicolons": lambda data: data.replace(b",", b";"),
    "ten million rows": lambda data: data + b"\n" * 10_000_000,
    "a million columns": lambda data: data.split(b"\n")[0] + b",x" * 1_000_000 + data,
    "a row of a million fields": _with_line(3, lambda line: line + ",1" * 1_000_000),
    "cut in a line": lambda data: data[: len(data) - 30],
    "a field too many": _with_line(3, lambda line: line + ",1"),
    "a field too few": _with_line(3, lambda line: line.rpartition(",")[0]),
    "both conventions": _with_field(5, "0"),
    "zeros in the middle": lambda data: data[:500] + bytes(100) + data[600:],
    "UTF-16": lambda data: data.decode().encode("utf-16"),
    "Latin-1": lambda data: data.replace(b"000003", "ü".encode("latin-1")),
    "HTML": lambda data: b"<!doctype html><html>Quota exceeded</html>",
    "random bytes": lambda data: random.Random(1).randbytes(5000),
    "open quote": _with_line(4, lambda line: '"' + line),
    "count too large": lambda data: b"999\n" + data,
    "count too small": lambda data: b"3\n" + data,
    "named pipe": lambda data: b"",
    "spreadsheet": lambda data: _zipped({"[Content_Types].xml": b"<x/>", "xl/workbook.xml": b"<x/>"}),
}
PARTITION_DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "part 3": _with_field(1, "3"),
    "part -1": _with_field(1, "-1"),
    "word": _with_field(1, "train"),
    "fewer images": lambda data: b"\n".join(data.split(b"\n")[:-5]),
    "more images": lambda data: data + b"new.jpg,0\n",
    "an image twice": lambda data: data + data.split(b"\n")[1] + b"\n",
    "other images": lambda data: data.replace(b".jpg", b".png"),
}


def _zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def _archives(data: bytes) -> Iterator[tuple[str, str, bytes]]:
    """Yield the description, file name and content of damaged archives."""
    good, packed = _zipped({LABELS: data}), gzip.compress(data)
    bomb = bytes(600_000_000)
    zips = {
        "cut": good[:-40],
        "cut at half": good[: len(good) // 2],
        "empty": _zipped({}),
        "two tables": _zipped({"a.csv": data, "b.csv": data}),
        "a changed byte": _flip(good, 300),
        "not an archive": data,
        "only a folder": _zipped({"a/": b""}),
        "unknown method": _with_field_of_zip(good, 8, b"\x63\x00"),
        "a bomb": _zipped({LABELS: bomb}),
        "encrypted": _with_field_of_zip(good, 6, b"\x01\x00"),
    }
    gzips = {
        "cut": packed[:-20],
        "cut at half": packed[: len(packed) // 2],
        "a changed byte": _flip(packed, 200),
        "wrong checksum": packed[:-8] + bytes(8),
        "not an archive": data,
        "a bomb": gzip.compress(bomb),
        "empty": gzip.compress(b""),
    }
    yield from ((f"zip: {name}", f"{LABELS}.zip", content) for name, content in zips.items())
    yield from ((f"gzip: {name}", f"{LABELS}.gz", content) for name, content in gzips.items())


def _with_field_of_zip(data: bytes, offset: int, value: bytes) -> bytes:
    """Change a field both in the local header and in the central directory, where it is two bytes later."""
    for position in (offset, data.index(b"PK\x01\x02") + offset + 2):
        data = data[:position] + value + data[position + len(value) :]
    return data


def _flip(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 255]) + data[position + 1 :]


def cases(folder: Path) -> Iterator[BadInput]:
    """Yield one command for each damaged table."""
    root = draw_faces(folder / "faces")
    changes = [(LABELS, f"labels, {name}", change) for name, change in LABEL_DAMAGE.items()]
    changes += [(LABELS, f"label {value[:20]!r}", _with_field(7, value)) for value in VALUES]
    changes += [(LABELS, f"id {name[:20]!r}", _with_field(0, name)) for name in IDS]
    changes += [(PARTITION, f"partition, {name}", change) for name, change in PARTITION_DAMAGE.items()]
    changes += [(PARTITION, f"id in the partition {name[:20]!r}", _with_field(0, name)) for name in IDS]
    for number, (table, name, change) in enumerate(changes):
        copy = _copy(root, folder / f"table_{number}")
        path = copy / table
        content = path.read_bytes()
        path.unlink()
        if name.endswith("named pipe"):
            os.mkfifo(path)
        else:
            path.write_bytes(change(content))
        culprit = "partition" if table == PARTITION else "list_attr_celeba"
        yield BadInput("tables", name, ["experiment=cooccurrence", "data=celeba", f"data.root={copy}"], culprit)
        shutil.rmtree(copy)
    for number, (name, file, content) in enumerate(_archives((root / LABELS).read_bytes())):
        copy = _copy(root, folder / f"archive_{number}")
        (copy / LABELS).unlink()
        (copy / file).write_bytes(content)
        yield BadInput("tables", name, ["experiment=cooccurrence", "data=celeba", f"data.root={copy}"], LABELS)
        shutil.rmtree(copy)


def _copy(root: Path, copy: Path) -> Path:
    """Return a copy of a data folder whose images are links."""
    copy.mkdir()
    for path in root.iterdir():
        if path.is_dir():
            (copy / path.name).symlink_to(path)
        else:
            shutil.copy(path, copy)
    return copy
