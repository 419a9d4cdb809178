"""Secrets: texts that a system needs and nobody may read in its messages."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from urllib.parse import quote

HIDDEN = "<secret>"

_SHORT = 4  # shorter ones are hidden only where they stand alone, and short numbers not at all
_LONG = 16  # of longer ones a beginning is hidden too: messages cut values off
_BEGINNING = 12


class Secret(str):
    """A text from a file of secrets: as good as any text, but its ``repr`` does not show it.

    ``str(secret)`` gives the plain text.

    Attributes:
        written: How the blueprint says it, such as ``${file:db.password}``.
    """

    __slots__ = ("written",)
    written: str

    def __new__(cls, text: str, written: str = "") -> Secret:
        """Make a secret of a text."""
        made = super().__new__(cls, text)
        made.written = written
        return made

    def __repr__(self) -> str:
        return HIDDEN

    def __reduce__(self) -> tuple[type[Secret], tuple[str, str]]:
        return Secret, (str(self), self.written)


class Redactor:
    """Hides secrets in texts for people: as they are, quoted, escaped, line by line, and cut off."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def __bool__(self) -> bool:
        return bool(self._secrets)

    def add(self, secret: str) -> None:
        """Hide this text from now on; one of nothing but blanks is no secret."""
        if secret.strip() and secret not in self._secrets:
            self._secrets.add(str(secret))
            self._pattern = None

    def hide(self, text: str) -> str:
        """Return a text without secrets."""
        if not self._secrets:
            return text
        if self._pattern is None:
            forms = {form for secret in self._secrets for form in _forms(secret)}
            ordered = sorted(forms, key=lambda form: (-len(form), form))
            patterns = [found for form in ordered if (found := _pattern(form))]
            cut = [_cut(form) for form in sorted(forms) if len(form) >= _LONG]
            self._pattern = re.compile("|".join([*patterns, *cut]) or r"(?!)")
        return self._pattern.sub(HIDDEN, text)


def _forms(secret: str) -> Iterator[str]:
    lines = [line.strip() for line in secret.splitlines()]
    for text in (secret, secret.strip(), " ".join(secret.split()), *(line for line in lines if line)):
        yield text
        yield repr(text)[1:-1]
        yield json.dumps(text)[1:-1]
        yield quote(text, safe="")


def _pattern(form: str) -> str:
    found = re.escape(form)
    if form.isdigit():  # as a text, not as a number of JSON
        return "" if len(form) < _SHORT else rf'(?<![\w.])(?<!":)(?<!": ){found}(?!\w)'
    return found if len(form) >= _SHORT else rf"(?<!\w){found}(?!\w)"


def _cut(form: str) -> str:
    return re.escape(form[:_BEGINNING]) + r"[^\s'\"]*"


__all__ = ["HIDDEN", "Redactor", "Secret"]
