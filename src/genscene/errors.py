"""What a person did wrong, in one line they can act on."""

import difflib
from collections.abc import Iterable


class BadInput(ValueError):
    """A file, option or argument is not what was asked for: what was got, what was wanted, where."""


class Diverged(RuntimeError):
    """A loss or gradient stopped being a number; the message names the step, the player and where to go on from."""


def nearest(word: str, choices: Iterable[str]) -> str:
    """The end of an error line about an unknown word: a guess at what was meant, and what there is."""
    known = sorted(choices)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.4)
    guess = f"did you mean {close[0]!r}? " if close else ""
    return f"{guess}known: {', '.join(known)}"
