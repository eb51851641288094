"""Texts from files, as a page may hold them."""

from __future__ import annotations

from html import escape

from minilq.errors import escaped


def shown(text: str) -> str:
    r"""A text, of one line or several, as HTML that shows it and does nothing else.

    >>> print(shown("<b>\x1b[2J"))
    &lt;b&gt;\x1b[2J
    """
    return escape("\n".join(map(escaped, text.split("\n"))))
