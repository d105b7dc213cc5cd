"""Compare a run with the run that it repeats, before and after it has run."""

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from celeba_lab.console import console, display_path, show_table
from celeba_lab.errors import enumerate_names
from celeba_lab.files import prepare_folder, write_csv
from celeba_lab.runs.repeat import changed_data, changed_environment, compare_metrics, compare_predictions
from celeba_lab.runs.summary import Summary

TABLE = "repeat.csv"
"""Name of the table that compares the metrics of both runs."""
_MOST_ROWS = 10


def announce_repeat(cfg: DictConfig) -> None:
    """Print which run is repeated, and what is different today."""
    folder = Path(str(cfg.repeat))
    console.print(f"repeating: {display_path(folder)}", soft_wrap=True)
    for line in changed_environment(Summary.read(folder)) or ["the same versions and the same commit as before"]:
        console.print(f"  {line}", soft_wrap=True)


def conclude_repeat(cfg: DictConfig) -> None:
    """Print whether the metrics and predictions of both runs are equal to the last bit, and write a table of both."""
    before, after = Path(str(cfg.repeat)), Path(HydraConfig.get().runtime.output_dir)
    original, repeated = Summary.read(before), Summary.read(after)
    table, predictions = compare_metrics(original, repeated), compare_predictions(before, after)
    prepare_folder(after / "tables")
    write_csv(after / "tables" / TABLE, table)
    different = table[~table["equal"]]
    tables = [name for name, is_equal in predictions.items() if not is_equal]
    for line in changed_data(original, repeated):
        console.print(f"  {line}", soft_wrap=True)
    if different.empty and not tables:
        and_predictions = " and all predictions" if predictions else ""
        console.print(
            f"repeat: all {len(table)} metrics{and_predictions} are equal to the last bit", style="bold", soft_wrap=True
        )
        return
    if tables:
        sentence = f"repeat: the predictions in {enumerate_names(tables)} differ"
        console.print(sentence, style="bold yellow", soft_wrap=True)
    if not different.empty:
        show_table(
            f"repeat: {len(different)} of {len(table)} metrics differ",
            different[["metric", "original", "repeated"]],
            most=_MOST_ROWS,
        )
