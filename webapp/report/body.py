"""The report as JSON."""

from __future__ import annotations

from model.shares.estimates import LEVEL, Shares
from webapp.report.asked import ROLES, Asked
from webapp.report.bodies import comparison_body, estimate_body, moment, shares_body, shift_body
from webapp.report.figures import FALSE_ALARMS, Figures, Segment
from webapp.report.method import COMPARISONS, limits, method
from webapp.report.says import all_shifts, headlines, pair_sentence, shift_sentence
from webapp.report.table import Table


def body(asked: Asked, table: Table, figures: Figures) -> dict[str, object]:
    """The whole report. Shares are fractions of 1, net is from -1 to 1."""
    zone = asked.zone
    return {
        "job": asked.job,
        "status": asked.status,
        "model": asked.model,
        "target": asked.target,
        "created_at": moment(asked.created_at, zone),
        "made_at": moment(asked.made_at, zone),
        "columns": dict(zip(ROLES, asked.columns, strict=True)),
        "tz": asked.tz,
        "says": list(headlines(figures, zone)),
        "texts": {
            "lines": table.total,
            "counted": figures.overall.shares.texts,
            "failed": table.failed,
            "unsupported_language": table.unread,
            "not_mentioned": table.not_about,
            "unanswered": table.unanswered,
        },
        "first": None if figures.first is None else moment(figures.first, zone),
        "last": None if figures.last is None else moment(figures.last, zone),
        "overall": _segment(figures.overall),
        "segments": [{"name": one.name, **_segment(one)} for one in figures.segments],
        "others": {"segments": figures.others, "texts": figures.others_texts},
        "comparisons": {
            "adjusted_for": len(figures.pairs),
            "adjustment": COMPARISONS,
            "level": LEVEL,
            "items": [
                {
                    "first": pair.first,
                    "second": pair.second,
                    "sentence": pair_sentence(pair),
                    **comparison_body(pair.comparison),
                }
                for pair in figures.pairs
            ],
        },
        "bucket": figures.bucket,
        "series": [
            {
                "name": name,
                "buckets": [_bucket(one, begin, asked) for one, begin in zip(series, figures.edges, strict=False)],
            }
            for name, series in [(None, figures.overall.series), *((one.name, one.series) for one in figures.segments)]
            if series
        ],
        "shifts": {
            "false_alarms": FALSE_ALARMS,
            "items": [
                {"segment": name, "sentence": shift_sentence(name, shift, zone), **shift_body(shift, zone)}
                for name, shift in all_shifts(figures)
            ],
        },
        "agreement": None
        if figures.agreement is None
        else {
            "labels": sum(map(sum, figures.agreement.confusion)),
            "accuracy": round(figures.agreement.accuracy, 4),
            "macro_recall": round(figures.agreement.macro_recall, 4),
            "confusion": figures.agreement.confusion,
        },
        "notes": table.notes,
        "method": dict(method(figures)),
        "limits": list(limits()),
    }


def _segment(given: Segment) -> dict[str, object]:
    return {
        **shares_body(given.shares),
        "labelled": given.labelled,
        "authors": given.authors,
        "distinct_texts": given.distinct,
        "raw": shares_body(given.raw),
    }


def _bucket(given: Shares, begin: float, asked: Asked) -> dict[str, object]:
    start = {"start": moment(begin, asked.zone), "texts": given.texts, "method": given.method}
    if not given.texts:
        return start
    return start | {name: estimate_body(getattr(given, name)) for name in ("negative", "neutral", "positive", "net")}
