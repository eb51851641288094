"""Texts from files, as a page or a figure may hold them."""

from __future__ import annotations

from html import escape


def printable(text: str) -> str:
    r"""A text whose control characters and lone surrogates are spelled out, so that every file and page takes it.

    >>> print(printable("a\x1b[2J\ud800"))
    a\x1b[2J\ud800
    """
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


def shown(text: str) -> str:
    r"""A text as HTML that shows it and does nothing else.

    >>> print(shown("<b>\x1b[2J"))
    &lt;b&gt;\x1b[2J
    """
    return escape(printable(text))
