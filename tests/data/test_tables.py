import numpy as np
import pytest

from celeba_lab.data.attributes import ATTRIBUTES
from celeba_lab.data.tables import _parse_fast, _parse_rows, _read_layout, read_table, read_table_bytes
from celeba_lab.errors import UserError


@pytest.mark.parametrize("layout", ["kaggle", "official_flat"])
def test_the_fast_path_never_accepts_a_table_that_the_careful_path_rejects(tmp_path, write_celeba, layout):
    """For a randomly damaged table, the fast path returns either None or the same result as the careful path."""
    root = write_celeba(tmp_path, layout=layout, images=False, n=8)
    path = next(root.glob("list_attr_celeba.*"))
    good = path.read_bytes()
    start = good.index(b"000001")
    rng = np.random.default_rng(3)
    pieces = [
        b",",
        b" ",
        b"\n",
        b"\r",
        b'"',
        b"-",
        b"1",
        b"0",
        b".",
        b"x",
        b"/",
        b"\t",
        b"\xff",
        b"\0",
        b"e",
        b"nan",
        b"\n\n",
    ]
    refused = 0
    for _ in range(400):
        data = bytearray(good)
        for _ in range(rng.integers(1, 4)):
            at = int(rng.integers(start, len(data)))
            data[at : at + int(rng.integers(0, 3))] = pieces[rng.integers(len(pieces))]
        layout_ = _read_layout(bytes(data), path, ATTRIBUTES)
        fast = _parse_fast(layout_, path, ATTRIBUTES, range(-1, 2))
        try:
            careful = _parse_rows(layout_, path, ATTRIBUTES, range(-1, 2))
        except UserError:
            refused += 1
            assert fast is None, bytes(data)
            continue
        if fast is not None:
            assert fast.ids.tolist() == careful.ids.tolist()
            assert fast.values.tolist() == careful.values.tolist()
    assert refused > 100


def test_a_clean_table_takes_the_fast_path(tiny_celeba, monkeypatch):
    monkeypatch.setattr("celeba_lab.data.tables._parse_rows", lambda *_: pytest.fail("took the careful path"))
    path = tiny_celeba / "list_attr_celeba.csv"
    assert len(read_table(path, ATTRIBUTES, range(-1, 2)).ids) == 48
    assert read_table_bytes(path).startswith(b"image_id")


def test_a_row_count_with_too_many_digits_is_rejected(tmp_path):
    path = tmp_path / "list_attr_celeba.txt"
    path.write_text("1" * 5000 + "\nSmiling\n000001.jpg 1\n")
    with pytest.raises(UserError, match=r"list_attr_celeba\.txt, line 1 is a number of 5,000 digits, not a row count"):
        read_table(path, ["Smiling"], range(-1, 2))


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_a_table_with_too_many_rows_is_rejected_before_it_is_parsed(tmp_path, monkeypatch, newline):
    monkeypatch.setattr("celeba_lab.data.tables._MOST_ROWS", 5)
    path = tmp_path / "list_eval_partition.txt"
    rows = [b"%d.jpg 1" % k for k in range(6)]
    path.write_bytes(newline.join(rows))
    assert len(read_table(path, ["partition"], range(3)).ids) == 6
    path.write_bytes(newline.join(rows) + newline)
    monkeypatch.setattr("celeba_lab.data.tables._read_layout", lambda *_: pytest.fail("the table was parsed"))
    with pytest.raises(UserError, match=r"list_eval_partition\.txt has more than 5 rows, which is too many"):
        read_table(path, ["partition"], range(3))


@pytest.mark.parametrize("place", ["header", "row", "end"])
@pytest.mark.parametrize("piece", [b"a,", b"1 ", b"x"])
def test_a_table_with_a_very_long_line_is_rejected_before_it_is_parsed(tmp_path, monkeypatch, place, piece):
    monkeypatch.setattr("celeba_lab.data.tables._read_layout", lambda *_: pytest.fail("the table was parsed"))
    path = tmp_path / "list_eval_partition.txt"
    long = piece * (2**16 // len(piece))
    rows = [b"%d.jpg 1" % k for k in range(10)]
    rows = {"header": [long, *rows], "row": [*rows[:4], long, *rows[4:]], "end": [*rows, long]}[place]
    path.write_bytes(b"\n".join(rows))
    line = {"header": 1, "row": 5, "end": 11}[place]
    with pytest.raises(UserError, match=rf"list_eval_partition\.txt, line {line} is longer than 32,768 bytes"):
        read_table(path, ["partition"], range(3))
