"""How the command line shows what else was asked of a text: its sentences, and the weights of its words."""

from __future__ import annotations

import re

from rich.console import Console
from rich.text import Text

from webapp.client.types import Prediction, Word

_BLANKS = re.compile(r"\s+")
_HEAVIEST = 5
"""The words whose weights are told in figures: colours may not be seen."""
_STRONG, _WEAK = 0.1, 0.02
"""Weights from which on a word is in a strong or a weak colour."""


def show(prediction: Prediction) -> None:
    """Prints, below the prediction, what it has of sentences and words. Colours only on a terminal, and not if NO_COLOR
    is set.
    """
    console = Console(highlight=False, soft_wrap=True)
    for sentence in prediction.sentences or ():
        label, confidence = sentence["label"] or "-", sentence["confidence"]
        shown = "-" if confidence is None else f"{confidence:.4f}"
        console.print(Text(f"  {label:<8}  {shown:<6}  {_one_line(sentence['text'])}"))
    if prediction.words:
        console.print(_coloured(prediction.text, prediction.words))
        heaviest = sorted(prediction.words, key=lambda word: -abs(word["weight"] or 0.0))[:_HEAVIEST]
        told = [f"{_one_line(word['text'])} {word['weight'] or 0.0:+.3f}" for word in heaviest]
        console.print(Text(f"  {', '.join(told)}"))


def _coloured(text: str, words: list[Word]) -> Text:
    """The text, in green what speaks for the label, in red what speaks against it."""
    line, at = Text("  "), 0
    for word in words:
        end = word["offset"] + word["length"]
        line.append(_one_line(text[at : word["offset"]]))
        line.append(_one_line(text[word["offset"] : end]), _style(word["weight"] or 0.0))
        at = end
    return line.append(_one_line(text[at:]))


def _one_line(text: str) -> str:
    return _BLANKS.sub(" ", text)


def _style(weight: float) -> str:
    if abs(weight) < _WEAK:
        return ""
    return ("bold " if abs(weight) >= _STRONG else "") + ("green" if weight > 0 else "red")
