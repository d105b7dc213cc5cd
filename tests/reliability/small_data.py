"""A few drawn faces in CelebA's layout, and trained models, for scripts that need no real data."""

from pathlib import Path

from runner import CLASSIFIER, GAN, Child


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


def train_classifier(folder: Path) -> Path:
    """Train a small classifier, unless this has been done, and return the path to its best checkpoint."""
    checkpoint = folder / "classifier" / "checkpoints" / "best.ckpt"
    if not checkpoint.exists():
        run([*CLASSIFIER, f"data.root={draw_faces(folder / 'faces')}", f"hydra.run.dir={folder}/classifier"], folder)
    return checkpoint


def train_gan(folder: Path) -> Path:
    """Train a small GAN, unless this has been done, and return the path to its checkpoint."""
    checkpoint = folder / "gan" / "checkpoints" / "last.ckpt"
    if not checkpoint.exists():
        own = ["task.distances=null", f"data.root={draw_faces(folder / 'faces')}", f"hydra.run.dir={folder}/gan"]
        run([*GAN, *own], folder)
    return checkpoint


def export_generator(folder: Path) -> Path:
    """Export the generator of the small GAN, unless this has been done, and return the path to the file."""
    path = folder / "export" / "generator.safetensors"
    if not path.exists():
        run(["task=export", f"checkpoint={train_gan(folder)}", f"hydra.run.dir={folder}/export"], folder)
    return path
