"""The page on which people label texts of a stream's sample, and its part that tells how far they are."""

from __future__ import annotations

from flask import Blueprint, Response, request

from model.labels import LABELS
from tasks.errors import SegmentNotFound
from tasks.streams.labelled import Pair, agreements
from tasks.streams.labels import Given
from tasks.streams.measuring import Measured, Measuring, Span
from tasks.submit.away import redis_or_unavailable
from tasks.submit.streams import StreamService
from webapp.api.stream_labels import standing
from webapp.api.streams import find, told_segment
from webapp.pages.page import RUNS_JOBS, Pages
from webapp.reading.columns import nearest

_KAPPA = ((0.8, "very well"), (0.6, "well"), (0.4, "moderately"), (0.2, "a little"), (-1.0, "hardly"))
"""From which kappa on people agree how well."""
_TALK_BELOW = 0.6
MOST_PAIRS = 5
"""Of people whose agreement is told; those that share most texts come first."""


def add_label(blueprint: Blueprint, pages: Pages, streams: StreamService) -> None:
    """Adds the addresses of the page."""
    measuring = Measuring(streams.kept, streams.labels)

    @blueprint.get("/streams/<name>/label")
    def label(name: str) -> Response:
        if not pages.may(RUNS_JOBS):
            return pages.show("label.html", needs=RUNS_JOBS)
        stream = find(streams, name)
        with redis_or_unavailable():
            (parts,) = measuring.measure(stream, None, [Span()]).values()
        at = f"/streams/{stream.name}"
        return pages.show(
            "label.html",
            needs=RUNS_JOBS,
            name=stream.name,
            back=at,
            sample=f"{at}/sample",
            labels=f"{at}/labels",
            ended=True,
            ready=True,
            column=None,
            part=f"/pages{at}/labels",
            keeps=stream.settings.keep_sample,
            segments=[standing(told_segment(segment), Measured([part])) for segment, part in parts.items()],
            chosen=request.args.get("segment"),
        )

    @blueprint.get("/pages/streams/<name>/labels")
    def label_progress(name: str) -> Response:
        """How far the labels of a segment are, or those of all; and what the model said of the text before."""
        stream = find(streams, name)
        segment, by = request.args.get("segment"), request.args.get("by", "").strip()
        with redis_or_unavailable():
            (parts,) = measuring.measure(stream, None if segment is None else [segment], [Span()]).values()
            if segment is not None and segment not in (there := list(streams.kept.segments(stream))):
                raise SegmentNotFound(segment, nearest(segment, there))
            given = streams.labels.given(stream)
        found = Measured(list(parts.values()))
        return pages.fragment(
            "label_progress.html",
            last=said(given, request.args.get("last", ""), by),
            agreement=[agreed(pair, by) for pair in agreements(given.labels)[:MOST_PAIRS]],
            **told(found),
        )


def told(found: Measured) -> dict[str, object]:
    """What the labels have given so far."""
    if not found.texts:
        return {"picture": None}
    # Imported here because a web process loads numpy with its first use alone.
    from model.shares import words
    from model.shares.estimates import Method
    from webapp.pages.narrowing import Narrowing

    narrowing = Narrowing.of([(part.sums, part.labels.labelled) for part in found.parts])
    shares = found.shares()
    return {
        "picture": narrowing.drawing(),
        "says": narrowing.says,
        "corrected": shares.method is not Method.RAW,
        "net": words.net(shares.net),
        "raw": words.signed(found.raw().net.estimate),
        "needed": found.needed,
        "why": shares.note if shares.method is Method.RAW and not found.needed else "",
        "cannot_tell": sum(part.labels.cannot_tell for part in found.parts),
        "set_aside": sum(part.labels.set_aside for part in found.parts),
        "note": found.note,
    }


def said(given: Given, id: str, by: str) -> dict[str, object] | None:
    """What the person and the model say of a text that the person has labelled; None of any other."""
    entry = given.entries.get(id)
    mine = [one for one in given.labels.get(id, ()) if one.by == by]
    if entry is None or not mine:
        return None
    from model.shares import words

    score, label = max(zip(entry.scores, LABELS, strict=True))
    person = None if mine[0].label is None else LABELS[mine[0].label]
    return {"person": person, "model": label, "score": words.percent(score)}


def agreed(pair: Pair, by: str) -> str:
    """How far two people agree, in sentences."""
    first, second = (_called(name, by) for name in (pair.first, pair.second))
    if second == "you":
        first, second = second, first
    found = pair.agreement
    said = f"{first[:1].upper()}{first[1:]} and {second} agree on {found.equal} of {found.texts} texts"
    if found.kappa is None:
        return f"{said}, all of which have the same label: that tells nothing yet."
    how = next(word for least, word in _KAPPA if found.kappa >= least)
    said += f"; beyond what chance gives, {how} (kappa {found.kappa:.2f}"
    if found.low is not None and found.high is not None:
        said += f", between {found.low:.2f} and {found.high:.2f}"
    said += ")."
    if found.kappa < _TALK_BELOW:
        said += " Talk about what the labels mean before you publish."
    return said


def _called(name: str, by: str) -> str:
    return "you" if name == by else name or "somebody without a name"
