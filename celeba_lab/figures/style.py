"""Style shared by all figures: colours, fonts, text wrapping, titles and grids of panels."""

import math
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, StrMethodFormatter
from numpy.typing import NDArray

BLUE = "#0072B2"
VERMILLION = "#D55E00"
GREEN = "#009E73"
PURPLE = "#CC79A7"
ORANGE = "#E69F00"
SKY = "#56B4E9"
BLACK = "#1A1A1A"
GRAY = "#767676"
LIGHT_GRAY = "#E0E0E0"

PALETTE = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK, GRAY)
"""Okabe and Ito's colour-blind-safe palette (https://jfly.uni-koeln.de/color/).

Yellow is omitted because it is illegible on white."""

CORRECT, WRONG = BLUE, VERMILLION

LINE_STYLES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)), (0, (3, 1.2, 1.2, 1.2, 1.2, 1.2)))
"""Line styles that distinguish curves even in black and white."""

SMALL_SIZE = 9.0
LINE_HEIGHT = 1.3  # line height as a multiple of the font size

STYLE: dict[Any, Any] = {
    "figure.dpi": 150,
    "figure.facecolor": "white",
    "savefig.dpi": "figure",
    "font.family": "DejaVu Sans",
    "font.size": 10.5,
    "figure.constrained_layout.w_pad": 0.08,
    "figure.constrained_layout.h_pad": 0.06,
    "axes.titlesize": 10.5,
    "axes.labelsize": 10.5,
    "axes.edgecolor": GRAY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.fontsize": 10,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}
"""Matplotlib settings that apply only inside the functions of this package."""


@lru_cache(maxsize=4096)
def text_width(text: str, size: float) -> float:
    """Return the width of a line of text in the figure font, in points."""
    font = FontProperties(family=str(STYLE["font.family"]), size=size)
    return text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]


def wrap(text: str, width: float, size: float) -> str:
    r"""Wrap text so that no line is wider than ``width`` points at font size ``size``.

    Lines are broken between words if possible, otherwise after one of the characters ``_ / \ -``, and anywhere as a
    last resort. Existing line breaks are preserved.
    """
    # Rasterised text can be up to 3% wider than the width computed here.
    fits = partial(_fits, width=0.97 * width, size=size)
    lines = []
    for paragraph in text.split("\n"):
        line = ""
        for token in _tokens(paragraph, fits):
            if line and not fits(line + token):
                lines.append(line.rstrip())
                line = ""
            line += token
        lines.append(line.rstrip())
    return "\n".join(lines)


def _fits(text: str, *, width: float, size: float) -> bool:
    return text_width(text.rstrip(), size) <= width


def _tokens(line: str, fits: Callable[[str], bool]) -> Iterator[str]:
    """Yield the parts of ``line`` between which a line break is allowed. Concatenating the parts gives ``line``."""
    for word in re.findall(r"\S+\s*|\s+", line):
        if fits(word):
            yield word
            continue
        for part in re.findall(r"[^_/\\-]*[_/\\-]|[^_/\\-]+", word):
            if fits(part):
                yield part
            else:
                yield from part


def new_figure(width: float, height: float, title: str, note: str = "") -> Figure:
    """Return an empty figure with a wrapped title.

    Args:
        width: Width in inches.
        height: Height in inches, excluding the title.
        title: Figure title. A ``$`` is shown as a dollar sign and does not start a formula.
        note: Subtitle, for example with numbers that apply to the whole figure.
    """
    text, size, title_height = fit_title(f"{title}\n{note}".strip(), 0.97 * width)
    figure = Figure(figsize=(width, height + title_height), layout="constrained")
    figure.suptitle(text, x=0.015, horizontalalignment="left", size=size, parse_math=False)
    return figure


def fit_title(title: str, width: float) -> tuple[str, float, float]:
    """Wrap a title to ``width`` inches, and return the text, its font size in points and its height in inches."""
    # Large figures are usually displayed at a reduced size, so they need a larger title.
    size = 12.0 if width < 11 else 15.0
    text = wrap(title, width * 72, size)
    return text, size, (text.count("\n") + 1) * size * LINE_HEIGHT / 72


def panels(figure: Figure, count: int, columns: int) -> list[Axes]:
    """Add ``count`` panels that share both axes, in reading order, with tick labels only on the outer panels."""
    rows = math.ceil(count / columns)
    axes: list[Axes] = []
    for position in range(count):
        first = axes[0] if axes else None
        ax = figure.add_subplot(rows, columns, position + 1, sharex=first, sharey=first)
        # Axes.label_outer would also remove the labels of panels above a gap in the last row.
        ax.tick_params(labelbottom=position + columns >= count, labelleft=position % columns == 0)
        axes.append(ax)
    return axes


def grid_columns(count: int) -> int:
    """Return the number of columns that makes a grid of ``count`` panels about 1.5 times as wide as it is tall."""
    rows = math.ceil(count / math.ceil(math.sqrt(1.5 * count)))
    return math.ceil(count / rows)


def panel_width(columns: int) -> float:
    """Return the width of a panel in inches. A panel is always wide enough for an attribute name."""
    return max(1.85, min(3.0, 9 / columns))


def finish_axes(ax: Axes, *, tick_size: float = 10.0, grid: bool = True) -> None:
    """Set properties that Matplotlib would otherwise look up at draw time, when the style no longer applies."""
    ax.tick_params(labelsize=tick_size, color=GRAY)
    if grid:
        ax.grid(True, color=LIGHT_GRAY, linewidth=0.8)
        ax.set_axisbelow(True)


def integer_ticks(axis: Axis, most: int = 10) -> None:
    """Place ticks only at integers, with at most ``most`` intervals between them."""
    axis.set_major_locator(MaxNLocator(nbins=most, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))


def count_axis(ax: Axes, highest: int, ticks: Iterable[int]) -> None:
    """Show counts on a logarithmic y-axis that includes 0, in ``ax`` and all panels that share its axes.

    Args:
        ax: Axes to modify.
        highest: Highest count.
        ticks: Positions of the ticks above 0.
    """
    ax.set_yscale("symlog", linthresh=1, linscale=0.5)
    ax.set_ylim(0, 1.5 * max(highest, 10))
    ax.yaxis.set_major_locator(FixedLocator([0, *ticks]))
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    ax.yaxis.set_minor_locator(NullLocator())


def ink(background: NDArray[np.floating]) -> str:
    """Return the text colour for a background: white if it has sufficient contrast, otherwise black.

    The contrast is computed from the relative luminance defined in WCAG 2.2. WCAG overestimates the contrast of
    black on saturated blue. White is therefore used whenever its contrast exceeds a fixed value, even if black has a
    higher contrast.

    Args:
        background: RGB colour of shape (3,), in [0, 1].
    """
    linear = np.where(background <= 0.04045, background / 12.92, ((background + 0.055) / 1.055) ** 2.4)
    luminance = linear @ np.array([0.2126, 0.7152, 0.0722])
    return "white" if 1.05 / (luminance + 0.05) > 3.3 else "black"


def write_centered(ax: Axes, text: str, *, size: float = 10.5, y: float = 0.5) -> None:
    """Write horizontally centred text on the axes at height ``y``, from 0 (bottom) to 1 (top)."""
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
    ax.text(0.5, y, text, transform=ax.transAxes, ha="center", va="center", size=size, style="italic", bbox=box)
