"""Mistakes that the person at the keyboard can mend, told in one sentence."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A wrong input or setting: says what is wrong, where, and what to do.

    The command line prints the sentence without a traceback and exits with status 1. Every other exception is a bug
    of ours and keeps its traceback.
    """

    @property
    def sentence(self) -> str:
        """The message alone.

        A DataLoader worker's exception arrives rebuilt, with the worker's whole traceback as its message; the last
        part is what was raised.
        """
        return str(self).rsplit(f"{type(self).__name__}: ", 1)[-1].strip()


class DivergenceError(UserError):
    """Training cannot go on from its weights, so no checkpoint of them is worth keeping."""


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the choice nearest to ``name``, or ``""`` where none is near."""
    folded = {choice.casefold(): choice for choice in choices}  # case is no difference to a person
    matches = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.6)
    return f" Did you mean '{folded[matches[0]]}'?" if matches else ""


def enumerate_names(names: Iterable[str], limit: int = 5) -> str:
    """Join ``names`` with commas, the first ``limit`` of them by name and the rest as a count."""
    names = list(names)
    rest = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {rest} more" if rest > 0 else "")
