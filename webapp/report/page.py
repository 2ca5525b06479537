"""The report as one page: no script, nothing from the network, and every word of the caller's escaped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from html import escape

from model.shares import words
from model.shares.raw import NOTE
from webapp.report.asked import ROLES, Asked
from webapp.report.charts import by_width, forest_chart, shares_chart
from webapp.report.figures import Figures, Segment
from webapp.report.html import SCROLL, cell, soft
from webapp.report.method import limits, method
from webapp.report.over_time import over_time
from webapp.report.says import clock, headlines, pair_sentence, shown
from webapp.report.style import POLICY, STYLE
from webapp.report.table import Table

_CLASSES = ("negative", "neutral", "positive")


def page(asked: Asked, table: Table, figures: Figures) -> str:
    """The whole page."""
    return "".join(_page(asked, table, figures))


def fragment(asked: Asked, table: Table, figures: Figures) -> str:
    """The report as a part of another page, which has the style and a heading of its own."""
    return f'<div class="report chart"><p class="facts">{escape(_facts(asked, figures))}</p>' + "".join(
        [*_content(asked, table, figures), "</div>\n"]
    )


def _page(asked: Asked, table: Table, figures: Figures) -> Iterator[str]:
    yield (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="referrer" content="no-referrer">'
        f"<title>{escape(_title(asked))}</title><style>{STYLE}</style></head><body><main>"
        f"<header><h1>{escape(_title(asked))}</h1>"
    )
    yield f'<p class="facts">{escape(_facts(asked, figures))}</p></header>'
    yield from _content(asked, table, figures)
    yield "</main></body></html>\n"


def _content(asked: Asked, table: Table, figures: Figures) -> Iterator[str]:
    yield from _headlines(asked, figures)
    yield from _shares(figures)
    if figures.pairs:
        yield from _pairs(figures)
    if figures.bucket is not None:
        yield from over_time(asked, figures)
    if figures.agreement is not None:
        yield from _agreement(figures)
    yield from _counted(table, figures)
    yield from _method(figures)
    yield (
        f"<footer>Made by Sentiq on {escape(clock(asked.made_at, asked.zone, year=True))} ({escape(shown(asked.tz))})"
        f" from job {escape(asked.job)}; model {escape(shown(asked.model or 'unknown'))}.</footer>"
    )


def _title(asked: Asked) -> str:
    segment = asked.columns[ROLES.index("segment")]
    about = f" towards {shown(asked.target)}" if asked.target else ""
    return f"Sentiment{about} by {shown(segment)}" if segment else f"Sentiment{about}"


def _facts(asked: Asked, figures: Figures) -> str:
    texts = figures.overall.shares.texts
    parts = [f"{texts:,} {'text' if texts == 1 else 'texts'}"]
    if figures.segments:
        parts.append(f"{len(figures.segments) + figures.others:,} segments")
    if figures.overall.authors is not None:
        parts.append(f"{figures.overall.authors:,} authors")
    if figures.first is not None and figures.last is not None:
        first, last = (clock(at, asked.zone, year=True) for at in (figures.first, figures.last))
        parts.append(f"{first} to {last} ({shown(asked.tz)})")
    labels = figures.overall.labelled
    if labels:
        parts.append("all labelled by people" if labels == texts else f"{labels:,} labelled by people")
    return " · ".join(parts)


def _headlines(asked: Asked, figures: Figures) -> Iterator[str]:
    yield '<ul class="headlines">'
    for sentence in headlines(figures, asked.zone):
        warns = ' class="warn"' if sentence.startswith("These are the model's") else ""
        yield f"<li{warns}>{escape(sentence)}</li>"
    yield "</ul>"


def _shares(figures: Figures) -> Iterator[str]:
    rows = [*figures.segments, figures.overall] if len(figures.segments) != 1 else list(figures.segments)
    # Bars stand side by side to be compared: of what is corrected and what is not, all are the model's own counts.
    mixed = len({one.is_certain for one in rows}) > 1
    drawn = [replace(one, shares=one.raw) for one in rows] if mixed else rows
    yield "<h2>Shares</h2>"
    yield (
        f"<figure>{by_width(shares_chart(drawn), shares_chart(drawn, narrow=True))}"
        '<ul class="key"><li><i class="k-negative"></i>negative</li><li><i class="k-neutral"></i>neutral</li>'
        '<li><i class="k-positive"></i>positive</li></ul>'
        "<figcaption>Each bar is all texts of a segment. The thin lines below it are 95 % intervals: on the left of the"
        " negative share, on the right of the positive one."
        + (
            " As not every segment has labels enough to be corrected, all bars are the model's own counts; corrected"
            " figures are in the table."
            if mixed
            else ""
        )
        + "</figcaption></figure>"
    )
    yield (
        f"{SCROLL}<table><caption>Shares with 95 % intervals. Net is positive less negative, in points."
        '</caption><thead><tr><th scope="col">Segment</th><th scope="col">texts</th><th scope="col">effective</th>'
        '<th scope="col">labels</th><th scope="col">negative</th><th scope="col">neutral</th>'
        '<th scope="col">positive</th><th scope="col">net</th><th scope="col" class="words">method</th></tr></thead>'
        "<tbody>"
    )
    for one in rows:
        given = one.shares
        yield (
            f'<tr><th scope="row"><bdi>{escape(shown(one.name) or "All texts")}</bdi></th><td>{given.texts:,}</td>'
            f"<td>{given.effective_texts:,.0f}</td><td>{one.labelled:,}</td>"
            f"{''.join(cell(words.share(getattr(given, kind))) for kind in _CLASSES)}{cell(words.net(given.net))}"
            f'<td class="words">{escape(str(given.method))}</td></tr>'
        )
    yield "</tbody></table></div>"
    if any(one.raw.net.estimate != one.shares.net.estimate for one in rows):
        yield from _before(rows)
    yield from _notes_of(rows)
    if figures.others:
        yield (
            f'<p class="note">{figures.others:,} smaller segments with {figures.others_texts:,} texts together have no'
            " figures of their own; their texts are among all texts.</p>"
        )


def _notes_of(rows: Iterable[Segment]) -> Iterator[str]:
    """What is to be known of the figures: what holds for several once, then how many labels each lacks."""
    several = dict.fromkeys(NOTE if one.shares.note.startswith(NOTE) else one.shares.note for one in rows)
    lacking = [
        f"{shown(one.name) or 'All texts'}: {labels.rstrip('.')}"
        for one in rows
        if one.shares.note.startswith(NOTE) and (labels := one.shares.note.removeprefix(NOTE).strip())
    ]
    for note in filter(None, several):
        yield f'<p class="note">{escape(note)}</p>'
        if note == NOTE and lacking:
            yield f'<p class="note">{escape("; ".join(lacking))}.</p>'


def _before(rows: list[Segment]) -> Iterator[str]:
    yield (
        f"<details><summary>What the model's own counts would say</summary>{SCROLL}<table><caption>The"
        " model's counts, uncorrected, with intervals that know nothing of its errors.</caption><thead><tr>"
        '<th scope="col">Segment</th><th scope="col">negative</th><th scope="col">neutral</th>'
        '<th scope="col">positive</th><th scope="col">net</th><th scope="col">net, corrected less raw</th></tr></thead>'
        "<tbody>"
    )
    for one in rows:
        moved = words.signed(one.shares.net.estimate - one.raw.net.estimate)
        yield (
            f'<tr><th scope="row"><bdi>{escape(shown(one.name) or "All texts")}</bdi></th>'
            f"{''.join(cell(words.share(getattr(one.raw, kind))) for kind in _CLASSES)}{cell(words.net(one.raw.net))}"
            f"<td>{moved}</td></tr>"
        )
    yield "</tbody></table></div></details>"


def _pairs(figures: Figures) -> Iterator[str]:
    number = len(figures.pairs)
    yield "<h2>Who is ahead</h2>"
    drawn = by_width(forest_chart(figures.pairs), forest_chart(figures.pairs, narrow=True))
    yield (
        f"<figure>{drawn}<figcaption>Differences of net. Where the line does not reach 0, it is"
        " sure who is ahead (filled); a hollow dot: it cannot be told."
        + (
            f" The intervals are adjusted for {number} comparisons at once.</figcaption>"
            if number > 1
            else "</figcaption>"
        )
        + "</figure>"
    )
    yield (
        f'{SCROLL}<table><caption>Each comparison as a sentence</caption><thead><tr><th scope="col">'
        'Comparison</th><th scope="col" class="words">verdict</th></tr></thead><tbody>'
    )
    for pair in figures.pairs:
        second = "all others" if pair.second is None else shown(pair.second)
        yield (
            f'<tr><th scope="row"><bdi>{escape(shown(pair.first))}</bdi> – <bdi>{escape(second)}</bdi></th>'
            f'<td class="words">{escape(pair_sentence(pair))}</td></tr>'
        )
    yield "</tbody></table></div>"
    for note in dict.fromkeys(pair.comparison.note for pair in figures.pairs if pair.comparison.note):
        yield f'<p class="note">{escape(note)}</p>'


def _agreement(figures: Figures) -> Iterator[str]:
    agreement = figures.agreement
    assert agreement is not None
    yield "<h2>The model and the labels</h2>"
    yield (
        f"<p>Of {sum(map(sum, agreement.confusion)):,} texts that people have labelled, the model says the same of"
        f" {words.percent(agreement.accuracy)}; averaged over the classes, it finds"
        f" {words.percent(agreement.macro_recall)} of each.</p>"
    )
    heads = "".join(f'<th scope="col">model: {kind}</th>' for kind in _CLASSES)
    yield (
        f"{SCROLL}<table><caption>What the model says of what people say</caption>"
        f"<thead><tr><td></td>{heads}</tr></thead><tbody>"
    )
    for place, (kind, row) in enumerate(zip(_CLASSES, agreement.confusion, strict=True)):
        cells = "".join(
            f'<td class="{"mine" if place == column else "other"}">{count:,}{_part(count, sum(row))}</td>'
            for column, count in enumerate(row)
        )
        yield f'<tr><th scope="row">people: {kind}</th>{cells}</tr>'
    yield "</tbody></table></div>"


def _part(count: int, whole: int) -> str:
    return f" {soft(f'({words.percent(count / whole)})')}" if whole else ""


def _counted(table: Table, figures: Figures) -> Iterator[str]:
    yield "<h2>What was counted</h2>"
    facts: Iterable[tuple[str, int, str]] = (
        ("lines of the file", table.total, ""),
        ("counted", figures.overall.shares.texts, ""),
        ("that differ from each other", figures.overall.distinct, "among the counted"),
        ("failed", table.failed, "in no share"),
        ("in a language that the model does not read", table.unread, "in no share"),
        ("that do not name the target", table.not_about, "in no share"),
        ("without an answer, as the job was cancelled", table.unanswered, "in no share"),
    )
    yield '<table class="facts-table"><caption>Texts</caption><tbody>'
    for place, (name, number, remark) in enumerate(facts):
        if number or place < 2:
            yield f'<tr><th scope="row">{name}</th><td>{number:,}</td><td class="words soft">{remark}</td></tr>'
    yield "</tbody></table>"
    for note in table.notes:
        yield f'<p class="note">{escape(note)}</p>'


def _method(figures: Figures) -> Iterator[str]:
    yield "<h2>How to read this</h2><dl>"
    for name, told in method(figures):
        yield f"<dt>{escape(name)}</dt><dd>{escape(told)}</dd>"
    yield "</dl><h3>What these figures cannot say</h3><ul>"
    for told in limits():
        yield f"<li>{escape(told)}</li>"
    yield "</ul>"
