"""Locations of the images and tables in a data folder."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from celeba_lab.errors import UserError, enumerate_names

LABEL_TABLE = "list_attr_celeba"
PARTITION_TABLE = "list_eval_partition"
IMAGE_FOLDER = "img_align_celeba"

FOLDERS = (
    "",  # Kaggle: everything is in the data folder itself
    "Anno",  # official download: tables of attributes, identities, landmarks and boxes
    "Eval",  # official download: partition table
    "Img",  # official download: images
    "celeba",  # torchvision: everything is in this folder
    "celeba/Anno",  # official download in a folder named celeba
    "celeba/Eval",
    "celeba/Img",
)
"""Folders, relative to the data folder, that may contain tables or the image folder."""

_PLAIN = (".csv", ".txt")
_PACKED = (".zip", ".gz", ".csv.zip", ".txt.zip", ".csv.gz", ".txt.gz")


# --------------------------------------------------------------------------------------------------------------- images


def find_image_folder(root: Path) -> Path:
    """Find the image folder in a data folder with any supported layout.

    Raises:
        UserError: ``root`` is not a folder, or does not contain exactly one image folder.
    """
    check_root(root)
    found = _image_folders(root)
    if len(found) > 1:
        names = ", ".join(map(str, found))
        raise UserError(f"There are several image folders: {names}. Keep one and remove the others.")
    if not found:
        archives = [path for folder in _folders(root) for path in folder.glob(f"{IMAGE_FOLDER}*.zip")]
        remedy = f"Unpack {archives[0]} there." if archives else _how_to_name_the_data()
        raise UserError(
            f"There is no image folder {IMAGE_FOLDER}/ in {root}, which contains {_describe_folder(root)}. {remedy}"
        )
    return found[0]


def holds_images(root: Path) -> bool:
    """Return whether the data folder ``root`` contains an image folder, in any layout."""
    return bool(_image_folders(root))


def _image_folders(root: Path) -> list[Path]:
    found = []
    for outer in (folder / IMAGE_FOLDER for folder in _folders(root)):
        inner = outer / IMAGE_FOLDER  # Kaggle's archive unpacks to a folder within a folder of the same name
        if inner.is_dir() or outer.is_dir():
            found.append(inner if inner.is_dir() else outer)
    return found


# --------------------------------------------------------------------------------------------------------------- tables


def find_table(root: Path, stem: str) -> Path:
    """Find an annotation file in a data folder with any supported layout.

    Args:
        root: The data folder.
        stem: Name of the file without its extension.

    Raises:
        UserError: ``root`` is not a folder, or does not contain exactly one such file.
    """
    check_root(root)
    paths = list_tables(root, stem)
    if not paths:
        raise UserError(
            f"There is no table {stem} (.csv or .txt, optionally compressed as .zip or .gz) in {root} or its subfolders"
            f" Anno/, Eval/ and celeba/. {root} contains {_describe_folder(root)}. {_how_to_name_the_data()}"
        )
    return only_one(paths)


def list_tables(root: Path, stem: str) -> list[Path]:
    """Return all annotation files named ``stem``, with any extension, in a data folder with any supported layout."""
    found = []
    for folder in _folders(root):
        plain = [folder / f"{stem}{ending}" for ending in _PLAIN]
        packed = [folder / f"{stem}{ending}" for ending in _PACKED]
        # If an archive has been unpacked into the same folder, only the unpacked table is used.
        found += [path for path in plain if path.is_file()] or [path for path in packed if path.is_file()]
    return found


def only_one(paths: Sequence[Path]) -> Path:
    """Return the path in a list that must contain exactly one path.

    Raises:
        UserError: The list contains several paths.
    """
    if len(paths) > 1:
        names = enumerate_names(map(str, paths))
        raise UserError(f"There are several tables of the same kind: {names}. Keep one and remove the others.")
    return paths[0]


def holds_annotations(root: Path) -> bool:
    """Return whether ``root`` contains CelebA's attribute table in any layout. The table is not read."""
    return root.is_dir() and bool(list_tables(root, LABEL_TABLE))


# ----------------------------------------------------------------------------------------------------------- the folder


def check_root(root: Path) -> None:
    """Check that the data folder exists.

    Raises:
        UserError: The data folder does not exist, or is a file.
    """
    if root.is_dir():
        return
    if root.exists():
        raise UserError(
            f"data.root={root} is a file. It must be the folder that contains {LABEL_TABLE} and the images."
        )
    parent = next(folder for folder in root.absolute().parents if folder.is_dir())
    raise UserError(
        f"The data folder {root} does not exist. It must contain {LABEL_TABLE}, {PARTITION_TABLE} and {IMAGE_FOLDER}/."
        f" {parent} contains {_describe_folder(parent)}. {_how_to_name_the_data()}"
    )


def _folders(root: Path) -> Iterable[Path]:
    return (root / folder for folder in FOLDERS)


def _how_to_name_the_data() -> str:
    return 'Set data.root=FOLDER or the environment variable CELEBA_ROOT. See "Get CelebA" in README.md.'


def _describe_folder(folder: Path) -> str:
    return enumerate_names(sorted(path.name for path in folder.iterdir())) or "nothing"
