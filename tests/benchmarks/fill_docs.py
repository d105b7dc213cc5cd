"""Replace the tables in docs/benchmarks.md with those of a finished run of ``experiment=benchmark``.

python tests/benchmarks/fill_docs.py outputs/benchmark/...
"""

import argparse
from pathlib import Path

from celeba_lab.reports.benchmark import fill_page

PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="run folder")
    tables = (parser.parse_args().run / "tables" / "benchmark.md").read_text()
    PAGE.write_text(fill_page(PAGE.read_text(), tables))


if __name__ == "__main__":
    main()
