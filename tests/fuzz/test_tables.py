"""Damaged tables and archives give one sentence, or exactly the rows that the file contains."""

import gzip
import io
import zipfile

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from celeba_lab.data.attributes import ATTRIBUTES
from celeba_lab.data.tables import Table, read_table
from celeba_lab.errors import UserError


def read(path) -> Table | None:
    """Return a table of labels, or None if the file is rejected in one sentence."""
    try:
        return read_table(path, ATTRIBUTES, range(-1, 2))
    except UserError as error:
        assert path.name in str(error), "the sentence must name the file"
        return None


def rows_of(data: bytes) -> tuple[list[str], list[list[int]]]:
    """Parse a valid table in the simplest way."""
    lines = [line.split(",") for line in data.decode("utf-8-sig").replace("\r", "\n").split("\n") if line.strip()]
    if lines[0][0].strip().isdecimal() and len(lines[0]) == 1:
        lines = lines[1:]
    header = [name.strip().strip('"') for name in lines[0]][-40:]
    ids = [line[0].strip().strip('"') for line in lines[1:]]
    words = {"true": 1, "false": 0}
    values = [{n: v.strip().strip('"') for n, v in zip(header, line[1:], strict=True)} for line in lines[1:]]
    return ids, [[int(words.get(row[name].lower(), 0) or float(row[name])) for name in ATTRIBUTES] for row in values]


@given(data=st.data())
def test_a_damaged_table_is_rejected_or_read_exactly(data, damaged, label_table, place) -> None:
    content = data.draw(damaged(label_table))
    table = read(place.write("list_attr_celeba.csv", content))
    if table is not None:
        ids, values = rows_of(content)
        assert table.ids.tolist() == ids
        assert table.values.tolist() == values


@given(data=st.data(), kind=st.sampled_from(["zip", "gz"]))
def test_a_damaged_archive_is_rejected_or_read_exactly(data, kind, damaged, label_table, place) -> None:
    stream = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("list_attr_celeba.csv", label_table)
    else:
        stream.write(gzip.compress(label_table, mtime=0))
    table = read(place.write(f"list_attr_celeba.csv.{kind}", data.draw(damaged(stream.getvalue()))))
    if table is not None:
        expected = read(place.write("whole.csv", label_table))
        assert expected is not None
        assert np.array_equal(table.ids, expected.ids)
        assert np.array_equal(table.values, expected.values)
