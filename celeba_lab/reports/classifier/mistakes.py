"""The most confident mistakes, and answers that exclude each other."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from celeba_lab import figures
from celeba_lab.analyses.contradictions import count_contradictions
from celeba_lab.reports.classifier.result import EvaluationResult, percent
from celeba_lab.reports.classifier.scores import mistakes
from celeba_lab.reports.page.page import Section


def report_mistakes(result: EvaluationResult, most: int) -> Section:
    """Write the probabilities of every image, every mistake, and pictures of the most confident ones.

    Args:
        result: the figure is left out where there are no images, or no mistakes.
        most: pictures at most.
    """
    file = result.run.table(f"predictions_{result.split}", result.predictions.to_table())
    wrong = mistakes(result.predictions)
    shown = result.table("mistakes", wrong.drop(columns="row"), "The most confident mistakes first", rows=200)
    pictures = []
    if len(wrong) and most and result.datamodule.has_images:
        figure = _draw(result, wrong.head(most))
        pictures.append(
            result.picture("mistakes", figure, "The most confident mistakes: what was said, and the label.")
        )
    answers = result.predictions.labels.size
    text = (
        f"{len(wrong):,} of {answers:,} answers differ from the label ({percent(len(wrong) / answers, 2)}). Not every"
        " one is the network's fault: look at the pictures, CelebA's labels are wrong at times. The probabilities of"
        f" every image lie in tables/{file.name}, to be joined by image_id."
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
    """Count answers that exclude each other, beside the labels that do.

    Args:
        result: where no pair's two attributes are among those told, there is no section.
        pairs: that exclude each other.

    Returns:
        The section, and ``split/contradictions``: the pairs of answers that contradict each other, per image.
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
        note="Images said to have two attributes that exclude each other",
    )
    picture = result.picture("contradictions", figure, "Contradictions in the labels and in the predictions.")
    text = (
        "Attributes are told one by one, so two answers may exclude each other. The labels, given by people, do so as"
        f" well: {int(table['labels'].sum()):,} times in {len(found.labels):,} images, the predictions"
        f" {int(table['predictions'].sum()):,} times. Few contradictions are no merit in themselves: who never says"
        " Goatee never contradicts No_Beard."
    )
    section = Section("Contradictions", text, tables=[shown], pictures=[picture])
    return section, {f"{result.split}/contradictions": float(table["predictions_share"].sum())}
