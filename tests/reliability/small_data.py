"""A few drawn faces in CelebA's layout, and trained models, for scripts that need no real data."""

from pathlib import Path

from runner import Child


def draw_faces(root: Path, count: int = 60) -> Path:
    """Draw a few faces with tables in CelebA's layout, unless the folder already exists."""
    if not root.exists():
        run(["task=synthesize", f"task.n={count}", f"data.root={root}"], root.parent)
    return root


def run(arguments: list[str], folder: Path) -> None:
    """Run a command in a forked process.

    Raises:
        RuntimeError: The command failed.
    """
    log = folder / "setup.log"
    log.unlink(missing_ok=True)
    code, _ = Child(arguments, folder, log).wait()
    if code != 0:
        raise RuntimeError(log.read_text()[-2000:])
