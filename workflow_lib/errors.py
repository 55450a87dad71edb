"""The one exception whose text is written for the user, and what its texts share."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Something the user can mend: the text says what, where and what to do, one line for each fault."""


def nearest(name: object, known: Iterable[object]) -> str:
    """What to write instead of an unknown name: the nearest known one, else all of them."""
    names = [str(item) for item in known]
    if not names:
        return "there is none yet"
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    return f"write {close[0]}" if close else "write one of: " + ", ".join(names)


def and_more(names: Iterable[object], shown: int = 3, separator: str = ", ") -> str:
    """The first names of a list, and how many are left out: 'a.wav, b.wav, c.wav and 5 more'."""
    texts = [str(name) for name in names]
    rest = f" and {len(texts) - shown} more" if len(texts) > shown else ""
    return separator.join(texts[:shown]) + rest
