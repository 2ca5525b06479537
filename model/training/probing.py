"""What a model makes of names and of emoji: two tables that labelled files do not show."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rich.table import Table
from tqdm import tqdm

from model.engine import Engine
from model.labels import LABELS
from model.text import clean
from model.training.name_templates import NAME, templates
from model.types import FloatArray

EMOJI = 300
_FEELING = re.compile("[☝☠☹☺✊-✌❤👀-👐👿💁💋💓-💟💢💩💪💯🔥🖕🖤😀-🙏🤌-🤯🤷🥰-🥺🧡🩵-🩷🫠-🫸]")
"""Faces, hands, hearts and fire: what people put into texts first of all."""
_LABELS = np.array(LABELS)


@dataclass(frozen=True)
class NameScore:
    """What a model says of all templates with one name in them."""

    name: str
    net_of_scores: float
    """The mean of the score of POSITIVE less that of NEGATIVE."""
    net_of_labels: float
    """The share of POSITIVE labels less that of NEGATIVE ones."""


def score_names(engine: Engine, names: Sequence[str]) -> list[NameScore]:
    """Scores the templates with each name; the highest net first."""
    sentences = templates()
    out = []
    for name in tqdm(names, unit="name", disable=None, leave=False):
        found = engine.score([clean(sentence.replace(NAME, name)) for sentence in sentences]).probabilities
        labels = found.argmax(1)
        net = float((found[:, 2] - found[:, 0]).mean())
        out.append(NameScore(name, net, float((labels == 2).mean() - (labels == 0).mean())))
    return sorted(out, key=lambda score: -score.net_of_scores)


def spread(scores: Sequence[NameScore]) -> tuple[float, float]:
    """The largest difference between two names: of the net of scores, and of that of labels."""
    by_scores, by_labels = [s.net_of_scores for s in scores], [s.net_of_labels for s in scores]
    return max(by_scores) - min(by_scores), max(by_labels) - min(by_labels)


def name_table(engine: Engine, scores: Sequence[NameScore]) -> Table:
    """A row for each name, and the largest differences in the title."""
    by_scores, by_labels = spread(scores)
    out = Table("name", "net of scores", "net of labels", title=engine.identity)
    out.caption = f"largest difference: {by_scores:.3f} of scores, {by_labels:.3f} of labels"
    for score in scores:
        out.add_row(score.name, f"{score.net_of_scores:+.3f}", f"{score.net_of_labels:+.3f}")
    return out


def common(signs: Mapping[str, str], count: int = EMOJI) -> list[str]:
    """The emoji to try: those of feeling, then pictures; of each kind the oldest first."""
    feeling = [sign for sign in signs if _FEELING.fullmatch(sign)]
    # Arrows and squares are the oldest, and hardly anybody's words.
    others = sorted(set(signs) - set(feeling), key=lambda sign: (ord(sign[0]) < 0x1F300, list(signs).index(sign)))
    return (feeling + others)[:count]


def emoji_rows(engine: Engine, signs: Sequence[str]) -> tuple[list[tuple[str, str, float]], int]:
    """Each emoji alone with its label and the label's score; and how many have exactly the answer of a letter that no
    vocabulary has: the model does not tell them from each other.
    """
    found = engine.score([clean(sign) for sign in signs]).probabilities
    blank: FloatArray = engine.score(["\u16a0"]).probabilities[0]
    alike = int(np.isclose(found, blank, atol=1e-6).all(1).sum())
    rows = zip(signs, _LABELS[found.argmax(1)].tolist(), found.max(1).tolist(), strict=True)
    return list(rows), alike


def emoji_table(engine: Engine, signs: Mapping[str, str], chosen: Sequence[str]) -> Table:
    """A row for each emoji: name, label and score."""
    rows, alike = emoji_rows(engine, chosen)
    counts = ", ".join(f"{sum(label == of for _, of, _ in rows)} {label}" for label in LABELS)
    out = Table("emoji", "name", "label", "score", title=engine.identity)
    out.caption = f"{counts}; {alike} with the answer of an unknown letter"
    for sign, label, score in rows:
        out.add_row(sign, signs[sign], label, f"{score:.3f}")
    return out
