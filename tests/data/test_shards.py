"""Shards give the images of the files, from a folder or an object store, in an order that suits them."""

import json
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from celeba_lab.data import shards as shards_module
from celeba_lab.data.annotations import Annotations
from celeba_lab.data.loaders import GROUPS_AT_ONCE, EpochSampler, Processes
from celeba_lab.data.position import Position
from celeba_lab.data.shard_writer import ShardWriter
from celeba_lab.data.shards import ShardFolder, Shards
from celeba_lab.data.stores import JpegFolder
from celeba_lab.errors import SettingError, UserError

pytest.importorskip("litdata")
pytest.importorskip("obstore")

ROWS = np.arange(48)


@pytest.fixture
def write(tiny_celeba: Path) -> Callable[[str], None]:
    """``write(target)`` writes the tiny CelebA to shards of five to eight images."""

    def write_to(target: str) -> None:
        annotations = Annotations.load(tiny_celeba)
        folder = tiny_celeba / "img_align_celeba" / "img_align_celeba"
        files = JpegFolder(folder, annotations.image_ids, 32, 10**6)
        tables = {name: text.encode() for name, text in annotations.to_csv(ROWS).items()}
        ShardWriter(target, shard_bytes=8 * len(files.content(0))).write(files, ROWS, tables)

    return write_to


@pytest.fixture
def root(write: Callable[[str], None], tmp_path: Path) -> Path:
    write(str(tmp_path / "shards"))
    return tmp_path / "shards"


def order_of(loader) -> list[int]:
    return torch.cat([batch["index"] for batch in loader]).tolist()


class Bucket(BaseHTTPRequestHandler):
    """The part of Amazon S3's protocol that reads and writes whole objects."""

    objects: dict[str, bytes] = {}  # noqa: RUF012
    requests: list[str] = []  # noqa: RUF012
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        self.objects[self.path.partition("?")[0]] = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(200, b"", {"ETag": '"1"'})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.requests.append(self.path)
        content = self.objects.get(self.path)
        headers = {"ETag": '"1"', "Last-Modified": "Fri, 27 Nov 2026 00:00:00 GMT"}
        self._answer(404 if content is None else 200, content or b"", headers)

    def _answer(self, code: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Bucket]]:
    Bucket.objects, Bucket.requests = {}, []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    variables = {"AWS_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "AWS_ALLOW_HTTP": "true"}
    variables |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "us-east-1"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    yield Bucket
    server.shutdown()
    server.server_close()
    thread.join()


# -------------------------------------------------------------------------------------------------------------- content


def test_shards_contain_the_files_and_the_tables(root: Path, tiny_celeba: Path) -> None:
    assert len(list(root.glob("chunk-*.bin"))) > 5
    found, expected = Annotations.load(root), Annotations.load(tiny_celeba)
    assert found.fingerprint == expected.fingerprint
    reader = shards_module._open_reader(root)
    folder = tiny_celeba / "img_align_celeba" / "img_align_celeba"
    assert [bytes(reader[k]) for k in range(48)] == [(folder / name).read_bytes() for name in expected.image_ids]


@pytest.fixture
def target(tmp_path: Path, bucket: type[Bucket]) -> Callable[[str], str]:
    """``target("s3")`` returns the address of shards in a bucket."""
    places = {"folder": f"{tmp_path}/shards", "file": f"file://{tmp_path}/shards", "s3": "s3://faces/celeba"}
    return places.__getitem__


@pytest.mark.parametrize("place", ["folder", "s3", pytest.param("file", marks=pytest.mark.slow)])
def test_the_batches_equal_those_of_the_files(
    make_data: Callable, join: Callable, write: Callable, target: Callable, tiny_celeba: Path, tmp_path: Path,
    bucket: type[Bucket], place: str,
) -> None:  # fmt: skip
    write(target(place))
    files = make_data(tiny_celeba, store="jpeg")
    data = make_data(target(place), store="shards", cache=str(tmp_path / "cache"))
    for split in ("train", "val"):
        expected, found = (join(each.evaluation_dataloader(split)) for each in (files, data))
        assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert sorted(order_of(data.train_dataloader())) == sorted(set(order_of(data.train_dataloader())))
    assert np.array_equal(data.raw_images([40])[0], files.raw_images([40])[0])
    assert data.facts()["root"] == target(place)
    assert data.facts()["fingerprint"] == files.facts()["fingerprint"]
    if place == "s3":
        copied = [request for request in bucket.requests if "chunk" in request]
        shards = [name for name in bucket.objects if "chunk" in name]
        assert len(copied) == len(set(copied)) < len(shards)  # Nobody needed the last test images.


@pytest.mark.slow
@pytest.mark.parametrize("place", ["folder", "s3"])
def test_workers_read_shards(
    make_data: Callable, join: Callable, write: Callable, target: Callable, tiny_celeba: Path, tmp_path: Path,
    bucket: type[Bucket], place: str,
) -> None:  # fmt: skip
    write(target(place))
    expected = join(make_data(tiny_celeba, store="jpeg").evaluation_dataloader("train"))
    data = make_data(target(place), store="shards", cache=str(tmp_path / "cache"), num_workers=2)
    found = join(data.evaluation_dataloader("train"))
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    copied = [request for request in bucket.requests if "chunk" in request]
    assert len(copied) == len(set(copied))


def compare_often(store: Shards, order: np.ndarray, expected: list[bytes], start: Any, results: Any) -> None:
    start.wait()
    results.put(sum(store._content(int(row)) != expected[row] for row in np.tile(order, 300)))


@pytest.mark.skipif(sys.platform != "linux", reason="worker processes are forked only on Linux")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_forked_workers_do_not_share_the_open_shard(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITDATA_POSIX_FAST", "0")  # Files are then read instead of mapped into the memory.
    store = shards_of(root)
    rows = np.flatnonzero(store.groups_of(ROWS) == 0)
    expected = [store._content(int(row)) for row in rows]
    context = multiprocessing.get_context("fork")
    start, results = context.Barrier(2), context.SimpleQueue()
    shared = (expected, start, results)
    workers = [context.Process(target=compare_often, args=(store, order, *shared)) for order in (rows, rows[::-1])]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert [results.get() for _ in workers] == [0, 0]
    store._reader.close()  # litdata does not close the file, so that happens while the warning is ignored.


def test_threads_do_not_share_the_open_shard(root: Path) -> None:
    """Validation reads its next batch in a thread, which may go on while the next training batch is read."""
    store = shards_of(root)
    expected = [store.load(int(row)) for row in ROWS]

    def is_right(order: np.ndarray) -> bool:
        return all(np.array_equal(store.load(int(row)), expected[row]) for row in np.tile(order, 10))

    with ThreadPoolExecutor(3) as pool:
        assert all(pool.map(is_right, (ROWS, ROWS[::-1], np.roll(ROWS, 20))))


# ---------------------------------------------------------------------------------------------------------------- order


def test_samples_are_shuffled_within_sets_of_groups() -> None:
    groups = np.repeat(np.arange(20), 10)
    orders = {epoch: list(EpochSampler(200, seed=1, epoch=epoch, groups=groups)) for epoch in range(3)}
    assert len({tuple(order) for order in orders.values()}) == 3
    sets = []
    for order in orders.values():
        assert sorted(order) == list(range(200))
        first = {int(groups[k]) for k in order[: 10 * GROUPS_AT_ONCE]}
        assert len(first) == GROUPS_AT_ONCE
        assert [groups[k] for k in order[:10]] != sorted(groups[k] for k in order[:10])
        sets.append(first)
    assert sets[0] != sets[1]
    assert list(EpochSampler(200, 1, 2, first=30, groups=groups)) == orders[2][30:]


def test_processes_and_resumed_runs_share_an_order(make_data: Callable, root: Path) -> None:
    alone = make_data(root, store="shards", batch_size=8)
    data = make_data(root, store="shards", batch_size=4)
    whole = [sorted(b["index"].tolist()) for b in alone.shuffled_dataloader(Processes(), Position(epoch=3))]
    parts = [list(data.shuffled_dataloader(Processes(2, k), Position(epoch=3))) for k in range(2)]
    assert [sorted(x for b in step for x in b["index"].tolist()) for step in zip(*parts, strict=True)] == whole
    rest = [b["index"].tolist() for b in data.shuffled_dataloader(Processes(2, 1), Position(epoch=3, batches=2))]
    assert rest == [batch["index"].tolist() for batch in parts[1]][2:]


def test_a_run_goes_on_only_with_the_same_shards(
    make_data: Callable, root: Path, tiny_celeba: Path, tmp_path: Path
) -> None:
    state = make_data(root, store="shards").state_dict()
    data = make_data(root, store="shards")
    data.load_state_dict(state | {"epoch": 2, "batches": 1})
    assert data.position == Position(2, 1)
    with pytest.raises(UserError, match="was started with other shards or without shards"):
        make_data(tiny_celeba, store="jpeg").load_state_dict(state)
    with pytest.raises(UserError, match="was started with other shards or without shards"):
        data.load_state_dict(make_data(tiny_celeba, store="jpeg").state_dict())


# --------------------------------------------------------------------------------------------------------------- errors


def shards_of(root: Path | str, cache: Path | None = None) -> Shards:
    folder = ShardFolder(str(root), cache)
    return Shards(folder, Annotations.load(folder.tables()).image_ids, 32, 10**6)


def test_a_truncated_shard_is_reported(root: Path) -> None:
    os.truncate(root / "chunk-0-1.bin", 100)
    store = shards_of(root)
    store.read(ROWS[:3])
    with pytest.raises(UserError, match=r"chunk-0-1\.bin is missing or truncated: it must have [0-9,]+ bytes\. Write"):
        store.read(ROWS)


def test_a_truncated_object_is_reported(write: Callable, tmp_path: Path, bucket: type[Bucket]) -> None:
    write("s3://faces/celeba")
    [name] = [name for name in bucket.objects if name.endswith("chunk-0-1.bin")]
    bucket.objects[name] = bucket.objects[name][:-1]
    with pytest.raises(UserError, match=r"s3://faces/celeba/chunk-0-1\.bin is truncated"):
        shards_of("s3://faces/celeba", tmp_path / "cache").read(ROWS)


def test_an_object_store_without_shards_is_reported(tmp_path: Path, bucket: type[Bucket]) -> None:
    with pytest.raises(UserError, match=r"^s3://faces/none cannot be read or written \(.*Check the address"):
        ShardFolder("s3://faces/none", tmp_path / "cache").tables()


def test_a_folder_without_shards_is_reported(make_data: Callable, tiny_celeba: Path) -> None:
    with pytest.raises(UserError, match=r"There are no shards in .*, because it does not contain index\.json"):
        make_data(tiny_celeba, store="shards")


@pytest.mark.parametrize(
    "change",
    [
        lambda index: index["config"].update(data_format=["pickle"]),
        lambda index: index["config"].update(compression="zstd"),
        lambda index: index["chunks"][0].update(filename="../secret.bin"),
        lambda index: index["chunks"][0].update(chunk_size=-1),
        lambda index: index.pop("chunks"),
    ],
)
def test_an_index_of_other_data_is_refused(root: Path, change: Callable) -> None:
    index = json.loads((root / "index.json").read_text())
    change(index)
    (root / "index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match=r"index\.json is damaged or was not written by this program"):
        shards_of(root)


def test_tables_of_other_images_are_refused(root: Path) -> None:
    index = json.loads((root / "index.json").read_text())
    index["chunks"].pop()
    (root / "index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match=r"contain [0-9]+ images, but the tables list 48\. Write the shards again"):
        shards_of(root)


def test_unsupported_addresses_and_folders_in_use_are_refused(root: Path) -> None:
    with pytest.raises(SettingError, match=r"^root=http://host/x must be a folder or begin with s3://, gs://, az://"):
        ShardFolder("http://host/x")
    with pytest.raises(SettingError, match=r"^target=ftp://host/x must be a folder or begin with s3://, gs://, az://"):
        ShardWriter("ftp://host/x")
    with pytest.raises(SettingError, match=r"^target=.* must be an empty folder, or a folder that does not exist yet"):
        ShardWriter(str(root))


@pytest.mark.parametrize("place", ["file", "s3"])
def test_shards_in_an_object_store_are_never_overwritten(write: Callable, target: Callable, place: str) -> None:
    write(target(place))
    with pytest.raises(SettingError, match=r"^target=.* must not contain index\.json, because shards are never overwr"):
        ShardWriter(target(place))


def test_only_the_writer_creates_folders(write: Callable, tmp_path: Path) -> None:
    missing = tmp_path / "new" / "shards"
    with pytest.raises(UserError, match=r"^The folder file://.*/new/shards does not exist\. Check the address\.$"):
        shards_of(f"file://{missing}", tmp_path / "cache")
    ShardWriter(f"file://{missing}")
    assert not missing.parent.exists()
    write(f"file://{missing}")
    assert len(shards_of(f"file://{missing}", tmp_path / "cache").names) == 48


def test_without_the_library_an_address_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("obstore", "obstore.store"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=r"^data\.store=shards needs libraries that are not installed"):
        shards_of("s3://faces/celeba", tmp_path / "cache")


@pytest.mark.parametrize(("address", "reason"), [("s3://", "Unable to recognise URL"), ("az://x/y", "Account must be")])
def test_an_incomplete_address_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, reason: str
) -> None:
    for name in [name for name in os.environ if name.startswith("AZURE")]:
        monkeypatch.delenv(name)
    with pytest.raises(UserError, match=rf"^{address} cannot be read or written \(.*{reason}.*\)\. Check the address"):
        shards_of(address, tmp_path / "cache")


def test_synthetic_faces_are_not_reported_as_celeba(make_data: Callable, root: Path) -> None:
    (root / "synthetic.json").write_text("{}")
    with pytest.raises(UserError, match=r"contains synthetic faces\. Use data=synthetic\."):
        make_data(root, store="shards")


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk without free space, on which only two copies are kept beside those that a batch needs."""
    monkeypatch.setattr(shards_module, "_KEPT", 2)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"total": 10**9, "free": 0}))


@pytest.mark.usefixtures("full_disk")
def test_copies_are_deleted_if_the_disk_is_almost_full(write: Callable, tmp_path: Path) -> None:
    write(f"file://{tmp_path}/shards")
    store = shards_of(f"file://{tmp_path}/shards", tmp_path / "cache")
    for row in ROWS:
        store.load(int(row))
    assert len(list((tmp_path / "cache").rglob("chunk-*.bin"))) == 3


@pytest.mark.usefixtures("full_disk")
def test_copies_that_a_batch_needs_are_never_deleted(
    make_data: Callable, join: Callable, write: Callable, tiny_celeba: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The oldest copies are those of the first batch, and the batches need shards of two sets."""
    monkeypatch.setattr("celeba_lab.data.loaders.GROUPS_AT_ONCE", 2)
    write(f"file://{tmp_path}/shards")
    data = make_data(f"file://{tmp_path}/shards", store="shards", cache=str(tmp_path / "cache"), batch_size=15)
    expected = data.faces.read(ROWS)
    copies = sorted((tmp_path / "cache").rglob("chunk-*.bin"))
    order = order_of(data.train_dataloader())
    needed = [copies[number] for number in data.faces.groups_of(np.array(order[:15]))]
    for path in copies:
        os.utime(path, (1, 1) if path in needed else (2, 2))
    needed[-1].unlink()
    monkeypatch.delattr(shards_module, "_open_reader")  # It is needed only after reading has failed.
    found = join(data.train_dataloader())
    assert found["index"].tolist() == order
    assert torch.equal(found["image"], expected[order])


@pytest.fixture
def remote(write: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shards:
    """Shards that are copied to a local folder. litdata waits only briefly for copies that do not exist."""
    monkeypatch.setattr("litdata.streaming.item_loader._MAX_WAIT_TIME", 0.1)
    write(f"file://{tmp_path}/shards")
    return shards_of(f"file://{tmp_path}/shards", tmp_path / "cache")


@pytest.mark.usefixtures("full_disk")
def test_copies_can_vanish_while_they_are_sorted(remote: Shards, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = remote._shards.folder
    remote.read(ROWS[:20])
    gone = [*folder.glob("chunk-*.bin"), folder / "chunk-0-99.bin"]
    monkeypatch.setattr(Path, "glob", lambda folder, pattern: iter(gone))
    remote.read(ROWS[30:])
    assert len([path for path in gone if path.exists()]) == 2


def test_a_copy_that_another_process_deletes_is_copied_again(
    remote: Shards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, shards = shards_of(tmp_path / "shards").read(ROWS), remote._shards
    make_local = shards.make_local

    def deleting(numbers: list[int], always: bool = False) -> None:
        make_local(numbers)
        if len(numbers) > 1 or always:
            (shards.folder / shards.shards[numbers[-1]]["filename"]).unlink()

    monkeypatch.setattr(shards, "make_local", deleting)
    assert torch.equal(remote.read(ROWS), expected)
    monkeypatch.setattr(shards, "make_local", lambda numbers: deleting(numbers, always=True))
    with pytest.raises(
        UserError, match=r"are deleted while they are read\. Free space on this disk, or choose another"
    ):
        remote.load(0)


def test_a_shard_that_is_deleted_during_a_run_is_reported(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("litdata.streaming.item_loader._MAX_WAIT_TIME", 0.1)
    store = shards_of(root)
    store.read(ROWS)
    (root / "chunk-0-1.bin").unlink()
    with pytest.raises(UserError, match=r"chunk-0-1\.bin is missing or truncated"):
        store.read(ROWS)
