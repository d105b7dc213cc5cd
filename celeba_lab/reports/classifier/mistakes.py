"""The most confident mistakes, and predictions that contradict each other."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from celeba_lab import figures
from celeba_lab.analyses.contradictions import count_contradictions
from celeba_lab.reports.classifier.result import EvaluationResult, percent
from celeba_lab.reports.classifier.scores import mistakes
from celeba_lab.reports.page.page import Section


def report_mistakes(result: EvaluationResult, most: int) -> Section:
    """Write the predictions for all images and a table of mistakes, and draw the most confident mistakes.

    Args:
        result: Predictions to report. The figure is skipped if there are no images or no mistakes.
        most: Maximum number of mistakes to draw.
    """
    file = result.run.table(f"predictions_{result.split}", result.predictions.to_table())
    wrong = mistakes(result.predictions)
    shown = result.table("mistakes", wrong.drop(columns="row"), "Mistakes, most confident first", rows=200)
    pictures = []
    if len(wrong) and most and result.datamodule.has_images:
        figure = _draw(result, wrong.head(most))
        pictures.append(result.picture("mistakes", figure, "The most confident mistakes, with predictions and labels."))
    total = result.predictions.labels.size
    text = (
        f"{len(wrong):,} of {total:,} predictions differ from the labels ({percent(len(wrong) / total, 2)}). Labels"
        " can be wrong too, as some of CelebA's are, so look at the images before drawing conclusions. The predicted"
        f" probabilities for all images are in tables/{file.name}, which can be joined with other tables on image_id."
    )
    return Section("Mistakes", text, tables=[shown], pictures=pictures)


def _draw(result: EvaluationResult, wrong: pd.DataFrame) -> Figure:
    found = result.predictions
    images = result.datamodule.raw_images(found.index[wrong["row"].to_numpy()])
    captions = [
        figures.image_caption(name, label, probability, attribute, threshold=found.threshold)
        for name, label, probability, attribute in zip(
            wrong["image_id"], wrong["label"], wrong["probability"], wrong["attribute"], strict=True
        )
    ]
    return figures.face_grid(images, captions, title=f"{result.title} · the most confident mistakes")


def report_contradictions(
    result: EvaluationResult, pairs: Sequence[Sequence[str]]
) -> tuple[Section | None, dict[str, float]]:
    """Count the contradictions among predictions and among labels.

    Args:
        result: Predictions to report.
        pairs: Pairs of mutually exclusive attributes.

    Returns:
        The section, and ``split/contradictions``, the mean number of contradictions per image. The section is
        None unless the classifier predicts both attributes of at least one pair.
    """
    found = result.predictions
    table = count_contradictions(found.labels, found.predicted, result.names, pairs)
    if table.empty:
        return None, {}
    ordered = table.sort_values(["labels", "predictions"], ascending=False, kind="stable")
    shown = result.table("contradictions", ordered, "Images with both attributes")
    figure = figures.paired_counts(
        ordered["labels"].to_numpy(),
        ordered["predictions"].to_numpy(),
        [f"{first} and {second}" for first, second in zip(ordered["first"], ordered["second"], strict=True)],
        series=("labels", "predictions"),
        total=len(found.labels),
        title=result.title,
        note="Images with two mutually exclusive attributes",
    )
    picture = result.picture("contradictions", figure, "Contradictions in the labels and in the predictions.")
    text = (
        "Each attribute is predicted separately, so predictions may contradict each other. Labels may contradict"
        " each other too, as CelebA's do, which were assigned by human annotators. In"
        f" {len(found.labels):,} images, there are {int(table['labels'].sum()):,} contradictions among the labels and"
        f" {int(table['predictions'].sum()):,} among the predictions. A small number of contradictions does not imply"
        " good predictions. For example, a"
        " classifier that never predicts Goatee never predicts both Goatee and No_Beard."
    )
    section = Section("Contradictions", text, tables=[shown], pictures=[picture])
    return section, {f"{result.split}/contradictions": float(table["predictions_share"].sum())}
