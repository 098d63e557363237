"""Did you mean ...?  The one place that guesses which word was meant."""

from __future__ import annotations

from collections.abc import Iterable


def closest(word: str, words: Iterable[str]) -> str | None:
    """Return the one of `words` that was probably meant, or None."""
    import difflib

    matches = difflib.get_close_matches(word, list(words), n=1, cutoff=0.7)
    return matches[0] if matches else None


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """Return a remedy: the known word that was probably meant; without one `otherwise`, or all known words."""
    names = sorted(known)
    guess = closest(word, names)
    if guess is not None:
        return f"did you mean {guess!r}?"
    return otherwise or (f"choose from: {', '.join(names)}" if names else "there is none yet")
