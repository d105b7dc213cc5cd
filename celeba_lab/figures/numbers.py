"""Number formatting for figures."""

import re

import numpy as np
from numpy.typing import NDArray


def value_text(value: float, form: str) -> str:
    """Format a number with a proper minus sign, a symbol for infinity and no negative zero.

    Args:
        value: Number to format.
        form: Format specification, such as ``".2f"``.

    Example:
        >>> value_text(-0.012, ".1f"), value_text(float("inf"), ".1f")
        ('0.0', '∞')
    """
    if np.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = format(value, form)
    # Numbers that round to zero are shown without a sign.
    return text.replace("-", "−") if re.search("[1-9]", text) else text.removeprefix("-")


def whole_number_text(value: float, position: int | None = None) -> str:
    """Format the number at a tick of an axis without decimal places. Matplotlib also passes the tick's position."""
    return value_text(value, ",.0f")


def score_text(value: float) -> str:
    """Format a score with three decimal places, or as "undefined" if it is NaN."""
    return "undefined" if np.isnan(value) else value_text(value, ".3f")


def value_format(values: NDArray[np.floating]) -> str:
    """Return a format specification for the numbers in a table.

    Integers are shown without decimal places, unless all magnitudes are at most 1. For other numbers, larger
    magnitudes mean fewer decimal places.
    """
    finite = np.abs(values[np.isfinite(values)])
    largest = finite.max(initial=0)
    if largest >= 1000 or (largest > 1 and (finite == np.round(finite)).all()):
        return ",.0f"
    return ".1f" if largest >= 100 else ".2f" if largest >= 0.1 else ".3f"


def ratio_text(value: float) -> str:
    """Format a non-negative ratio, such as an odds ratio, as a short decimal number.

    Example:
        >>> [ratio_text(value) for value in (0.0421, 0.5, 3.14159, 1234.5)]
        ['0.042', '0.50', '3.1', '1,234']
    """
    if np.isinf(value):
        return "∞"
    if value == 0:
        return "0"
    if not 1e-3 <= value < 1e6:
        return f"{value:.0e}".replace("-", "−")
    if value >= 9.95:
        return f"{value:,.0f}"
    if value >= 0.0995:
        return f"{value:.1f}" if value >= 1.995 else f"{value:.2f}"
    return f"{value:.3f}"


def ratio_ticks(low: float, high: float, most: int = 7) -> tuple[list[float], list[str]]:
    """Return ticks for a logarithmic axis of ratios.

    Args:
        low: Base-2 logarithm of the lowest ratio.
        high: Base-2 logarithm of the highest ratio.
        most: Maximum number of ticks.

    Returns:
        The base-2 logarithms of the ticks and their labels.

    Example:
        >>> ratio_ticks(-3, 3, most=3)
        ([-2.0, 0.0, 2.0], ['1/4', '1', '4'])
    """
    step = 1
    while np.floor(high / step) - np.ceil(low / step) + 1 > most:
        step += 1
    ticks = [float(step * k) for k in range(int(np.ceil(low / step)), int(np.floor(high / step)) + 1)]
    if len(ticks) < 3:  # The ends of a range with so few ticks are labelled too.
        ticks = sorted({low, high, *(tick for tick in ticks if low + 0.1 < tick < high - 0.1)})
    return ticks, [_ratio_label(tick) for tick in ticks]


def _ratio_label(exponent: float) -> str:
    if exponent != round(exponent):
        return f"{2**exponent:.3g}"
    if abs(exponent) > 16:
        return f"{2.0**exponent:.0e}".replace("-", "−")
    return f"{2 ** int(exponent):,}" if exponent >= 0 else f"1/{2 ** int(-exponent):,}"
