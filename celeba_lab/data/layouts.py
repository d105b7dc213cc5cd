"""What lies where in a data folder."""

from collections.abc import Sequence
from pathlib import Path

from celeba_lab.errors import UserError, enumerate_names

IMAGE_FOLDER = "img_align_celeba"
_IMAGE_FOLDERS = ("", "Img", "celeba", "celeba/Img")  # Kaggle; the official share; torchvision


def find_image_folder(root: Path) -> Path:
    """Find the folder with the images below ``root``, one or two folders deep.

    Raises:
        UserError: ``root`` is no folder, or holds no image folder or several.
    """
    root = Path(root)
    check_root(root)
    found = _image_folders(root)
    if len(found) > 1:
        raise UserError(f"There are several image folders, {', '.join(map(str, found))}; keep one.")
    if not found:
        archives = [path for folder in _IMAGE_FOLDERS for path in (root / folder).glob(f"{IMAGE_FOLDER}*.zip")]
        todo = f"unpack {archives[0]} there" if archives else remedy().removesuffix(".")
        raise UserError(f"No image folder {IMAGE_FOLDER}/ in {root}, which holds {describe_folder(root)}; {todo}.")
    return found[0]


def holds_images(root: Path) -> bool:
    """Return whether there is an image folder below ``root``, in any layout."""
    return bool(_image_folders(root))


def _image_folders(root: Path) -> list[Path]:
    found = []
    for outer in (root / folder / IMAGE_FOLDER for folder in _IMAGE_FOLDERS):
        inner = outer / IMAGE_FOLDER  # Kaggle's archive unpacks to a folder within a folder
        if inner.is_dir() or outer.is_dir():
            found.append(inner if inner.is_dir() else outer)
    return found


LABEL_TABLE = "list_attr_celeba"
PARTITION_TABLE = "list_eval_partition"

# Kaggle keeps everything in the root; the official folders are Anno/ and Eval/; torchvision puts the lot in celeba/.
_TABLE_FOLDERS = ("", "Anno", "Eval", "celeba", "celeba/Anno", "celeba/Eval")
_PLAIN = (".csv", ".txt")
_PACKED = (".zip", ".gz", ".csv.zip", ".txt.zip", ".csv.gz", ".txt.gz")


def find_table(root: Path, stem: str) -> Path:
    """Find the annotation file ``stem`` (without its ending) in any layout; a plain file wins over its own archive.

    Raises:
        UserError: ``root`` is no folder, or holds no such table or several.
    """
    check_root(root)
    paths = list_tables(root, stem)
    if not paths:
        raise UserError(
            f"No {stem} (.csv or .txt, also .zip or .gz) in {root}, its Anno/, Eval/ or celeba/, which holds"
            f" {describe_folder(root)}; {remedy()}"
        )
    return only_one(paths)


def holds_annotations(root: Path) -> bool:
    """Return whether CelebA's attributes lie in ``root``, in any layout; they may still be found broken."""
    return root.is_dir() and bool(list_tables(root, LABEL_TABLE))


def check_root(root: Path) -> None:
    """Check that the data folder exists.

    Raises:
        UserError: It does not, or is a file.
    """
    if root.is_dir():
        return
    if root.exists():
        raise UserError(f"data.root={root} is a file; give the folder that holds {LABEL_TABLE} and the images.")
    parent = next(folder for folder in root.absolute().parents if folder.is_dir())
    raise UserError(
        f"There is no folder {root} with CelebA's {LABEL_TABLE}, {PARTITION_TABLE} and img_align_celeba/"
        f" ({parent} holds {describe_folder(parent)}); {remedy()}"
    )


def remedy() -> str:
    """Say how to point the project at the data."""
    return 'set data.root=FOLDER or the variable CELEBA_ROOT, or see "Get CelebA" in README.md.'


def describe_folder(folder: Path) -> str:
    """Name what ``folder`` holds, briefly."""
    return enumerate_names(sorted(path.name for path in folder.iterdir())) or "nothing"


def list_tables(root: Path, stem: str) -> list[Path]:
    """Return the annotation files ``stem`` (without their endings) of every known folder below ``root``."""
    found = []
    for folder in (root / name for name in _TABLE_FOLDERS):
        plain = [folder / f"{stem}{ending}" for ending in _PLAIN]
        packed = [folder / f"{stem}{ending}" for ending in _PACKED]
        # Unpacked by hand, with the archive left beside it: the same table, not a second one.
        found += [path for path in plain if path.is_file()] or [path for path in packed if path.is_file()]
    return found


def only_one(paths: Sequence[Path]) -> Path:
    """Return the only path; raise UserError where there are several."""
    if len(paths) > 1:
        raise UserError(f"There are several tables for the same thing, {enumerate_names(map(str, paths))}; keep one.")
    return paths[0]
