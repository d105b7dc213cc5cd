"""Small files of JSON with a fixed schema, which one class writes and reads."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from textwrap import shorten
from typing import Any, ClassVar, TypeVar, get_type_hints

from typeguard import CollectionCheckStrategy, TypeCheckError, check_type

from celeba_lab.files import read_json, unusable, write_atomically

R = TypeVar("R", bound="Record")
_MAX_BYTES = 2**24
_LONGEST_TEXT = 10_000


@dataclass(frozen=True, kw_only=True)
class Record:
    """Base class of dataclasses that are stored in a file with a fixed name.

    Every record has the field ``version``, whose default value is the current version of its format.

    Attributes:
        FILE: Name of the file.
    """

    FILE: ClassVar[str]

    def write(self, folder: Path) -> None:
        """Write the record into a folder, in place of an earlier one."""
        text = json.dumps(asdict(self), indent=2, allow_nan=False) + "\n"
        write_atomically(folder / self.FILE, lambda file: file.write(text.encode()))

    @classmethod
    def read(cls: type[R], folder: Path) -> R:
        """Read the record in a folder.

        Raises:
            UserError: The file is missing or damaged, or was written by a newer version of celeba_lab.
        """
        path = folder / cls.FILE
        content = read_json(path, _MAX_BYTES)
        known: dict[str, Any] = {field.name: field.default for field in fields(cls)}
        if not isinstance(content, dict) or content.keys() != known.keys():
            raise unusable(path, "its fields are not those that celeba_lab writes")
        version = content["version"]
        if isinstance(version, bool) or not isinstance(version, int) or not 1 <= version <= known["version"]:
            newest = f"this version of celeba_lab only supports versions up to {known['version']}"
            raise unusable(path, f"it has version {version!r}, but {newest}", "Update celeba_lab.")
        for name, hint in get_type_hints(cls).items():
            if name in known:
                _check(path, name, content[name], hint)
        return cls(**content)


def _check(path: Path, name: str, value: Any, hint: Any) -> None:
    """Check the type of a field, and that no text is unreasonably long."""
    try:
        check_type(value, hint, collection_check_strategy=CollectionCheckStrategy.ALL_ITEMS)
    except TypeCheckError as error:
        raise unusable(path, f"the field {name} has the wrong type: {shorten(repr(value), 200)}") from error
    if any(len(text) > _LONGEST_TEXT for text in _texts_in(value)):
        raise unusable(path, f"the field {name} contains a text that is too long")


def _texts_in(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for key, item in value.items() for text in (*_texts_in(key), *_texts_in(item))]
    if isinstance(value, list):
        return [text for item in value for text in _texts_in(item)]
    return [value] if isinstance(value, str) else []
