import gzip
import io
import re
import resource
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from celeba_lab.data.annotations import SPLITS, Annotations
from celeba_lab.data.attributes import ATTRIBUTES
from celeba_lab.errors import UserError

KAGGLE_ATTR, KAGGLE_EVAL = "list_attr_celeba.csv", "list_eval_partition.csv"


def edit(path: Path, change) -> None:
    path.write_text(change(path.read_text()))


def edit_line(path: Path, number: int, change) -> None:
    """Change one line of a file. Lines are counted from 1, as in an editor."""
    lines = path.read_text().splitlines()
    lines[number - 1] = change(lines[number - 1])
    path.write_text("\n".join(lines) + "\n")


def sentence_of(root: Path) -> str:
    with pytest.raises(UserError) as error:
        Annotations.load(root)
    sentence = str(error.value)
    assert "\n" not in sentence
    return sentence


# ---------------------------------------------------------------------------------------------------------- valid files


@pytest.mark.parametrize("labels", ["-1/1", "0/1"])
@pytest.mark.parametrize("compress", [None, "gz", "zip"])
@pytest.mark.parametrize("layout", ["kaggle", "official", "official_flat", "torchvision"])
def test_every_layout_gives_the_same_annotations(tmp_path, write_celeba, tiny_celeba, layout, compress, labels):
    root = write_celeba(tmp_path, layout=layout, compress=compress, labels=labels, images=False)
    expected = pd.read_csv(tiny_celeba / KAGGLE_ATTR, index_col="image_id")
    annotations = Annotations.load(root)
    assert annotations.image_ids.tolist() == expected.index.tolist()
    assert (annotations.labels == (expected[list(ATTRIBUTES)].to_numpy() == 1)).all()
    assert annotations.labels.dtype == annotations.partition.dtype == np.int8
    assert np.bincount(annotations.partition).tolist() == [32, 8, 8]


def test_rows_of_a_split_and_columns_of_attributes_are_found(tiny_celeba):
    annotations = Annotations.load(tiny_celeba)
    rows = [annotations.rows(split) for split in SPLITS]
    assert [r.dtype for r in rows] == [np.int64] * 3
    assert np.concatenate(rows).tolist() == list(range(48))
    assert annotations.columns(["Young", "5_o_Clock_Shadow"]).tolist() == [39, 0]
    with pytest.raises(UserError, match=r"^split=tests must be one of train, val, test\. Did you mean 'test'\?$"):
        annotations.rows("tests")


def test_tables_with_different_row_and_column_orders_are_joined_by_id(tmp_path, write_celeba, tiny_celeba):
    root = write_celeba(tmp_path, images=False)
    rng = np.random.default_rng(0)
    attr = pd.read_csv(root / KAGGLE_ATTR).iloc[rng.permutation(48)]
    attr = attr[["image_id", *rng.permutation(ATTRIBUTES)]]
    attr.to_csv(root / KAGGLE_ATTR, index=False)
    pd.read_csv(root / KAGGLE_EVAL).iloc[rng.permutation(48)].to_csv(root / KAGGLE_EVAL, index=False)
    shuffled, plain = Annotations.load(root), Annotations.load(tiny_celeba)
    assert shuffled.image_ids.tolist() == attr["image_id"].tolist()
    order = np.searchsorted(plain.image_ids, shuffled.image_ids)
    assert (shuffled.labels == plain.labels[order]).all()
    assert (shuffled.partition == plain.partition[order]).all()


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "\ufeff" + text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r"),
        lambda text: text.replace("\n", "\n\n"),
        lambda text: text.replace(",", " , "),
        lambda text: text.rstrip("\n"),
        lambda text: "\n".join(",".join(f'"{field}"' for field in line.split(",")) for line in text.splitlines()),
        lambda text: text.replace(",-1", ",-1.0").replace(",1", ",1.0"),
        lambda text: text.replace(",-1", ",False").replace(",1", ",True"),
        lambda text: text.replace("000003.jpg", "NA").replace("000004.jpg", "null"),
        lambda text: text.replace(".jpg", " é.jpg"),
    ],
    ids=[
        "bom",
        "crlf",
        "cr",
        "blank-lines",
        "spaces",
        "no-newline",
        "quoted",
        "floats",
        "bools",
        "na-names",
        "unicode",
    ],
)
def test_harmless_variations_are_accepted(tmp_path, write_celeba, tiny_celeba, change):
    root = write_celeba(tmp_path, images=False)
    for name in (KAGGLE_ATTR, KAGGLE_EVAL):
        path = root / name
        # The partition column contains 2, so its 1s cannot be replaced by True.
        text = path.read_text()
        path.write_bytes((change(text) if name == KAGGLE_ATTR or "True" not in change(text) else text).encode())
    assert (Annotations.load(root).labels == Annotations.load(tiny_celeba).labels).all()


def test_the_content_of_a_file_matters_more_than_its_name(tmp_path, write_celeba):
    """Kaggle names some zip files ``.csv``, and an archive next to its unpacked table is not treated as a duplicate."""
    root = write_celeba(tmp_path, images=False)
    plain = (root / KAGGLE_ATTR).read_bytes()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("__MACOSX/._list_attr_celeba.csv", "x")
        archive.writestr("readme.txt", "x")
        archive.writestr("list_attr_celeba.csv", plain)
    (root / KAGGLE_ATTR).write_bytes(stream.getvalue())
    (root / "list_attr_celeba.csv.zip").write_bytes(stream.getvalue())
    assert len(Annotations.load(root)) == 48


def test_optional_tables_are_read_if_present(tmp_path, write_celeba):
    root = write_celeba(tmp_path, layout="official", images=False)
    annotations = Annotations.load(root)
    assert annotations.identity is annotations.landmarks is annotations.bbox is None
    ids = annotations.image_ids
    header = "lefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x leftmouth_y rightmouth_x rightmouth_y"
    (root / "Anno/identity_CelebA.txt").write_text("".join(f"{name} {i + 300}\n" for i, name in enumerate(ids)))
    (root / "Anno/list_landmarks_align_celeba.txt").write_text(
        f"48\n{header}\n"
        + "".join(f"{name}  69 109 106 113  {i}  142  73  152 108  154\n" for i, name in enumerate(ids))
    )
    (root / "Anno/list_bbox_celeba.txt").write_text(
        "48\nimage_id x_1 y_1 width height\n" + "".join(f"{name} 95 71 -226 {i}\n" for i, name in enumerate(ids))
    )
    annotations = Annotations.load(root)
    assert annotations.identity[:2].tolist() == [300, 301]
    assert annotations.landmarks[5].tolist() == [[69, 109], [106, 113], [5, 142], [73, 152], [108, 154]]
    assert annotations.bbox[7].tolist() == [95, 71, -226, 7]


# -------------------------------------------------------------------------------------------------------- invalid files


HTML = b"\n<!DOCTYPE html><html><body>Quota exceeded</body></html>"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("list_attr_celeba.csv", HTML, ["web page", "Download"]),
        ("list_attr_celeba.zip", HTML, ["web page", "Download"]),
        ("list_attr_celeba.csv", gzip.compress(HTML, mtime=0), ["web page"]),
        ("list_attr_celeba.zip", b"no archive", ["not a zip archive", "Download"]),
        ("list_attr_celeba.txt.gz", b"no archive", ["not a gz archive", "Download"]),
        ("list_attr_celeba.zip", b"PK\x03\x04 cut short", ["cannot be read", "Download"]),
        ("list_attr_celeba.csv.gz", gzip.compress(b"image_id,x\n" * 99, mtime=0)[:-12], ["cannot be read", "Download"]),
        ("list_attr_celeba.csv", b"", ["empty", "Download"]),
        ("list_attr_celeba.csv", b" \n\n", ["empty"]),
        ("list_attr_celeba.txt", b"202599\r\n", ["no rows"]),
        ("list_attr_celeba.csv", "image_id,Male\n".encode("utf-16"), ["not UTF-8"]),
    ],
)
def test_files_that_are_not_tables_are_rejected(tmp_path, write_celeba, name, content, words):
    root = write_celeba(tmp_path, images=False)
    (root / KAGGLE_ATTR).unlink()
    (root / name).write_bytes(content)
    sentence = sentence_of(root)
    for word in (str(root / name), *words):
        assert word in sentence


def test_a_zip_with_several_files_is_rejected(tmp_path, write_celeba):
    root = write_celeba(tmp_path, images=False)
    (root / KAGGLE_ATTR).unlink()
    with zipfile.ZipFile(root / "list_attr_celeba.zip", "w") as archive:
        archive.writestr("a.csv", "x")
        archive.writestr("b.csv", "x")
    assert "contains a.csv, b.csv" in sentence_of(root)


def test_a_zip_bomb_is_not_unpacked(tmp_path, write_celeba, monkeypatch):
    root = write_celeba(tmp_path, compress="zip", images=False)
    monkeypatch.setattr("celeba_lab.data.tables.MAX_BYTES", (root / "list_attr_celeba.zip").stat().st_size)
    assert "MiB when uncompressed" in sentence_of(root)


def drop_column(name):
    def change(text):
        frame = pd.read_csv(io.StringIO(text)).drop(columns=name)
        return frame.to_csv(index=False)

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (drop_column("Smiling"), ["line 1", "missing from the header: Smiling"]),
        (drop_column("5_o_Clock_Shadow"), ["line 1", "missing from the header: 5_o_Clock_Shadow"]),
        (lambda t: t.replace("Smiling", "Smilling"), ["line 1", "'Smilling'", "Did you mean 'Smiling'?"]),
        (lambda t: t.replace("\n", ",1\n").replace("Young,1", "Young,Tall"), ["line 1", "unknown column 'Tall'"]),
        (lambda t: t.replace("Wavy_Hair", "Young"), ["line 1", "column 'Young' twice"]),
        (lambda t: t[: t.index("\n") + 1], ["a header but no rows"]),
        (lambda t: t[t.index("\n") + 1 :], ["line 1", "unknown column"]),
    ],
    ids=["missing", "missing-first", "misspelt", "extra", "repeated", "no-rows", "no-header"],
)
def test_columns_other_than_the_forty_attributes_are_rejected(tmp_path, write_celeba, change, words):
    root = write_celeba(tmp_path, images=False)
    edit(root / KAGGLE_ATTR, change)
    sentence = sentence_of(root)
    for word in (str(root / KAGGLE_ATTR), *words):
        assert word in sentence


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda row: row.rsplit(",", 1)[0] + ",2", ["(000016.jpg)", "'Young' is '2'", "-1, 0, 1"]),
        (lambda row: row.rsplit(",", 1)[0] + ",257", ["'Young' is '257'"]),  # 257 would overflow to 1 in int8.
        (lambda row: row.rsplit(",", 1)[0] + ",0.5", ["'Young' is '0.5'"]),
        (lambda row: row.rsplit(",", 1)[0] + ",yes", ["'Young' is 'yes'"]),
        (lambda row: row.rsplit(",", 1)[0] + ",nan", ["'Young' is 'nan'"]),
        (lambda row: row.rsplit(",", 1)[0] + ",", ["(000016.jpg)", "'Young' is empty"]),
        (lambda row: row.rsplit(",", 1)[0], ["(000016.jpg)", "too few fields", "40 fields instead of 41"]),
        (lambda row: row + ",1", ["(000016.jpg)", "too many fields", "42 fields instead of 41"]),
        (lambda row: row + ",", ["too many fields"]),
        (lambda row: row + ",1,1", ["too many fields", "43 fields"]),
        (lambda row: row.replace("000016", "000003"), ["(000003.jpg)", "repeats the image id of line 4"]),
        (lambda row: row.replace("000016", "../000016"), ["'../000016.jpg'", "plain file name"]),
        (lambda row: row.replace("000016", "/etc/000016"), ["'/etc/000016.jpg'", "plain file name"]),
        (lambda row: row.replace("000016", "C:\\000016"), ["plain file name"]),
        (lambda row: row.replace("000016.jpg", ".."), ["plain file name"]),
        (lambda row: row.replace("000016.jpg", ""), ["image id '' is empty"]),
        (lambda row: '"' + row, ["unbalanced quotes"]),
    ],
)
@pytest.mark.parametrize("blank_lines", [0, 2])
def test_the_error_for_a_bad_row_names_its_line(tmp_path, write_celeba, change, words, blank_lines):
    root = write_celeba(tmp_path, images=False)
    edit_line(root / KAGGLE_ATTR, 17, change)
    edit_line(root / KAGGLE_ATTR, 10, lambda row: "\n" * blank_lines + row)
    sentence = sentence_of(root)
    for word in (f"{root / KAGGLE_ATTR}, line {17 + blank_lines}", *words):
        assert word in sentence
    assert any(remedy in sentence for remedy in ("correct", "Remove"))


@pytest.mark.parametrize("number", [2, 49])
@pytest.mark.parametrize("tail", [",1", ",1,1,1", ","])
def test_an_extra_field_in_the_first_and_last_row_is_rejected(tmp_path, write_celeba, number, tail):
    root = write_celeba(tmp_path, images=False)
    edit_line(root / KAGGLE_ATTR, number, lambda row: row + tail)
    assert f"line {number} (0000{number - 1:02d}.jpg) has too many fields" in sentence_of(root)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda row: row + " 1", ["(000015.jpg)", "too many fields"]),
        (lambda row: row[:-2], ["(000015.jpg)", "too few fields"]),
        (lambda row: row[:-2] + " x", ["(000015.jpg)", "'Young' is 'x'"]),
        (lambda row: row.replace("000015", "a/b"), ["'a/b.jpg'", "plain file name"]),
    ],
)
def test_the_error_for_a_bad_row_of_the_official_table_names_its_line(tmp_path, write_celeba, change, words):
    root = write_celeba(tmp_path, layout="official", images=False)
    edit_line(root / "Anno/list_attr_celeba.txt", 17, change)
    sentence = sentence_of(root)
    for word in (f"{root}/Anno/list_attr_celeba.txt, line 17", *words):
        assert word in sentence


def test_an_official_count_that_differs_from_the_number_of_rows_is_rejected(tmp_path, write_celeba):
    root = write_celeba(tmp_path, layout="official", images=False)
    edit(root / "Anno/list_attr_celeba.txt", lambda text: text[: text.index("000040.jpg")])
    assert "specifies 48 rows" in sentence_of(root)
    assert "but 39 were found" in sentence_of(root)


@pytest.mark.parametrize(("first", "second"), [("-1", "0"), ("0", "-1")])
def test_a_table_that_mixes_minus_one_and_zero_is_rejected(tmp_path, write_celeba, first, second):
    root = write_celeba(tmp_path, labels="-1/1" if first == "-1" else "0/1", images=False)
    edit_line(root / KAGGLE_ATTR, 30, lambda row: row.replace(f",{first},", f",{second},", 1))
    sentence = sentence_of(root)
    for word in (f"{root / KAGGLE_ATTR}, line 30 (000029.jpg)", f"is {second}", f"labels are {first}", "Download"):
        assert word in sentence


@pytest.mark.parametrize("value", ["3", "-1", "train", ""])
@pytest.mark.parametrize("layout", ["kaggle", "official"])
def test_a_partition_other_than_0_1_2_is_rejected(tmp_path, write_celeba, layout, value):
    root = write_celeba(tmp_path, layout=layout, images=False)
    path = root / (KAGGLE_EVAL if layout == "kaggle" else "Eval/list_eval_partition.txt")
    edit_line(path, 20, lambda row: row[:-1] + value)
    sentence = sentence_of(root)
    assert f"{path}, line 20" in sentence
    assert ("must be one of 0, 1, 2" in sentence) or (
        value == "" and layout == "official" and "too few fields" in sentence
    )


@pytest.mark.parametrize(("name", "other"), [(KAGGLE_ATTR, KAGGLE_EVAL), (KAGGLE_EVAL, KAGGLE_ATTR)])
def test_an_image_that_is_missing_from_one_table_is_rejected(tmp_path, write_celeba, name, other):
    root = write_celeba(tmp_path, images=False)
    edit(root / name, lambda text: "".join(line for line in text.splitlines(True) if "00004" not in line))
    sentence = sentence_of(root)
    for word in (f"{root / name} lacks 10 of the images in {root / other}", "000040.jpg", "and 5 more", "correct"):
        assert word in sentence


def test_the_error_for_text_that_is_not_utf8_names_its_line(tmp_path, write_celeba):
    root = write_celeba(tmp_path, images=False)
    path = root / KAGGLE_ATTR
    path.write_bytes(path.read_bytes().replace(b"000016.jpg", b"0000\xe9.jpg"))
    assert f"{path}, line 17 is not UTF-8" in sentence_of(root)


# ------------------------------------------------------------------------------------------------------ the real tables


@pytest.fixture(scope="session")
def official_root(shared, tmp_path_factory):
    """Folder with the real attribute table as a zip file, and the partition in the official format."""
    root = tmp_path_factory.mktemp("official")
    (root / "Anno").mkdir()
    (root / "Anno/list_attr_celeba.zip").symlink_to(shared / "celeba/official/list_attr_celeba.zip")
    (root / "Eval").mkdir()
    partition = (shared / "celeba/list_eval_partition.csv").read_text().split("\n", 1)[1]
    (root / "Eval/list_eval_partition.txt").write_text(partition.replace(",", " "))
    return root


def test_the_real_tables_give_the_same_annotations_in_each_layout(shared, official_root):
    kaggle, official = Annotations.load(shared / "celeba"), Annotations.load(official_root)
    assert len(kaggle) == 202_599
    assert np.bincount(kaggle.partition).tolist() == [162_770, 19_867, 19_962]
    assert round(float(kaggle.labels[:, ATTRIBUTES.index("Smiling")].mean()), 4) == 0.4821
    for name in ("image_ids", "labels", "partition"):
        assert (getattr(kaggle, name) == getattr(official, name)).all()


MEASURE = """
import resource, sys, time
from pathlib import Path
bare = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
from celeba_lab.data.annotations import Annotations
begin = time.process_time()
Annotations.load(Path(sys.argv[1]))
print(time.process_time() - begin, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - bare) / 1024)
"""


@pytest.mark.skipif(
    not hasattr(resource, "RUSAGE_SELF") or sys.platform == "darwin", reason="ru_maxrss is in KiB on Linux"
)
@pytest.mark.parametrize("which", ["kaggle", "official"])
def test_the_real_tables_load_quickly_and_in_little_memory(shared, official_root, which):
    """Loading took 0.5 s and, on top of the bare interpreter, 140 MB. The limits allow for busy machines."""
    root = shared / "celeba" if which == "kaggle" else official_root
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, str(root)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    seconds, megabytes = map(float, run.stdout.split())
    assert seconds < 3
    assert megabytes < 250


def test_the_fingerprint_depends_on_every_annotation_but_not_on_the_layout(write_celeba, tmp_path: Path) -> None:
    layouts = [
        Annotations.load(write_celeba(tmp_path / layout, layout, images=False))
        for layout in ("kaggle", "official", "torchvision")
    ]
    [fingerprint] = {annotations.fingerprint for annotations in layouts}
    assert re.fullmatch(r"[0-9a-f]{16}", fingerprint)
    first = layouts[0]
    changed = [
        replace(first, image_ids=np.array([*first.image_ids[:-1], "x.jpg"])),
        replace(first, labels=1 - first.labels),
        replace(first, partition=first.partition[::-1]),
    ]
    assert len({fingerprint, *(annotations.fingerprint for annotations in changed)}) == 4
