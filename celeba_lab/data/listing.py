"""List image files. This module does not import torch or Pillow, so that paths can be checked quickly."""

import glob
from pathlib import Path

from celeba_lab.errors import UserError
from celeba_lab.files import check_name, natural_order

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")


def list_images(pattern: str) -> list[Path]:
    """List the image files that match a pattern, in natural order (2.jpg before 10.jpg).

    Args:
        pattern: Path to a file, path to a folder, or a glob in which ``**`` matches any number of nested folders. A
            single file may have any extension. If the pattern is a folder, its subfolders are not searched.

    Raises:
        UserError: No image file matches the pattern, or the name of a file is not UTF-8 text.
    """
    path = Path(pattern).expanduser()
    if path.is_file():
        check_name(path)
        return [path]
    if path.is_dir():
        candidates, where = list(path.iterdir()), f"in the folder {path}"
    else:
        names = glob.glob(str(path), recursive=True)  # noqa: PTH207  # Path.glob rejects absolute patterns.
        candidates, where = [Path(name) for name in names], f"for '{pattern}'"
        if not candidates:
            raise UserError(f"No file or folder matches '{pattern}'. Check the path, or quote the glob.")
    images = [p for p in candidates if p.suffix.lower() in SUFFIXES and not p.name.startswith(".") and p.is_file()]
    if not images:
        raise UserError(
            f"There are no images ({', '.join(SUFFIXES)}) {where}. Specify an image file, a folder of images or a glob."
        )
    for image in images:
        check_name(image)
    return sorted(images, key=natural_order)
