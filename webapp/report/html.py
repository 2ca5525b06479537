"""Pieces of HTML that the parts of a report share."""

from __future__ import annotations

SCROLL = '<div class="scroll" tabindex="0" role="group" aria-label="Figures">'
"""Around a table that may be wider than its place: those who have only a keyboard can move it, too."""


def cell(told: str) -> str:
    """A figure, with its interval in a lighter colour."""
    estimate, bracket, interval = told.partition(" (")
    return f"<td>{estimate} {soft(f'({interval}')}</td>" if bracket else f"<td>{estimate}</td>"


def soft(told: str) -> str:
    """What is less important than the words before it."""
    return f'<span class="interval">{told}</span>'
