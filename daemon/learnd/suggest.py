"""Did you mean ...?  One place guesses the word that was meant."""

from __future__ import annotations

from collections.abc import Iterable


def closest(word: str, words: Iterable[str]) -> str | None:
    """The one of words that was probably meant."""
    import difflib

    matches = difflib.get_close_matches(word, list(words), n=1, cutoff=0.7)
    return matches[0] if matches else None
