"""The entry point of ``python -m celeba_lab``."""

import sys
from pathlib import Path

# Python searches the current folder first. In somebody else's folder, this would run their modules, such as plugins of
# Hydra. The folder is kept if it contains celeba_lab itself. Modules that the user trusts are found nevertheless.
if sys.path and Path(sys.path[0] or ".").resolve() == Path.cwd() and not Path("celeba_lab", "__main__.py").is_file():
    del sys.path[0]

from celeba_lab.cli.main import main

if __name__ == "__main__":
    main()
