"""The entry point of ``python -m celeba_lab``."""

from celeba_lab.cli.main import main

if __name__ == "__main__":
    main()
