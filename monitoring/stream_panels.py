"""What the dashboard of streams shows; see `monitoring.panels`. All of it is raw: the model's own counts. The service's
series (`GET /streams/{name}/series`) corrects them by labels and says how sure they are.
"""

from __future__ import annotations

from monitoring.panels import Dashboard, Marks, Panel

_BY = "owner, stream, segment"
_LEGEND = "{{owner}} {{stream}} {{segment}}"
_OF = 'stream=~"$stream"'
_READ = "POSITIVE|NEUTRAL|NEGATIVE"


def _texts(labels: str = "", by: str = _BY) -> str:
    """The rate of a stream's texts, which each host of web processes reports: hence max before the sum."""
    of = f'{_OF},label=~"{labels}"' if labels else _OF
    each = f"max by ({_BY}, label) (rate(sentiment_stream_texts_total{{{of}}}[$__rate_interval]))"
    return f"sum by ({by}) ({each})"


def _share(label: str) -> str:
    return f"{_texts(label)} / {_texts(_READ)}"


STREAMS = Dashboard(
    "sentiq-streams",
    "Sentiq: streams",
    "How the mood in streams moves, by segment. Raw: counts of the model, without correction by labels.",
    (
        (
            "Mood, raw",
            (
                Panel(
                    "Net by segment",
                    "percentunit",
                    "Share of POSITIVE less share of NEGATIVE among the texts that came in. Raw: good for seeing it"
                    " move, not for its height. Vertical lines are shifts.",
                    ((f"({_texts('POSITIVE')} - {_texts('NEGATIVE')}) / {_texts(_READ)}", _LEGEND),),
                    ("SentiqStreamShifted",),
                    bottom=-1,
                    top=1,
                    width=24,
                ),
                Panel(
                    "POSITIVE by segment",
                    "percentunit",
                    "Share of POSITIVE among the texts that came in. Raw.",
                    ((_share("POSITIVE"), _LEGEND),),
                    top=1,
                    width=12,
                ),
                Panel(
                    "NEGATIVE by segment",
                    "percentunit",
                    "Share of NEGATIVE among the texts that came in. Raw.",
                    ((_share("NEGATIVE"), _LEGEND),),
                    top=1,
                    width=12,
                ),
            ),
        ),
        (
            "Shifts",
            (
                Panel(
                    "Shifts in an hour",
                    "short",
                    "Shifts that were found in the last hour. A stream may have as many false ones a day as its"
                    " `sensitivity` says.",
                    ((f"max by ({_BY}) (increase(sentiment_stream_shifts_total{{{_OF}}}[1h]))", _LEGEND),),
                    ("SentiqStreamShifted",),
                    width=12,
                ),
                Panel(
                    "Since the latest shift",
                    "s",
                    "Seconds since the latest shift of a segment was found; without any, it is not there.",
                    (
                        (
                            f"time() - max by ({_BY}) (sentiment_stream_shift_timestamp_seconds{{{_OF}}} > 0)",
                            _LEGEND,
                        ),
                    ),
                    ("SentiqStreamShifted",),
                    width=12,
                ),
            ),
        ),
        (
            "Texts",
            (
                Panel(
                    "Texts by segment",
                    "suffix: texts/s",
                    "Texts that were counted. Segments beyond STREAM_METRICS are one: `_other`.",
                    ((_texts(), _LEGEND),),
                    stacked=True,
                ),
                Panel(
                    "Texts in no share",
                    "percentunit",
                    "Share of texts in a language that the model does not read (`unread`), or that could not be scored"
                    " (`failed`). Where it is large, the shares speak for the others alone.",
                    (
                        (
                            (
                                f"{_texts('unread|failed', 'stream, label')}"
                                f" / on (stream) group_left {_texts('', 'stream')}"
                            ),
                            "{{stream}} {{label}}",
                        ),
                    ),
                    top=1,
                ),
                Panel(
                    "Requests of streams",
                    "reqps",
                    "By rule and status.",
                    (
                        (
                            (
                                "sum by (method, url_rule, status) (rate(flask_http_request_duration_seconds_count"
                                '{url_rule=~"/streams.*"}[$__rate_interval]))'
                            ),
                            "{{method}} {{url_rule}} {{status}}",
                        ),
                    ),
                    stacked=True,
                ),
            ),
        ),
    ),
    variable=("stream", "label_values(sentiment_stream_texts_total, stream)"),
    marks=Marks(
        "Shifts",
        'max by (owner, stream, segment) (sentiment_stream_shift_timestamp_seconds{stream=~"$stream"} > 0) * 1000',
        "{{owner}} {{stream}} {{segment}}",
    ),
)
