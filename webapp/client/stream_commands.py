"""`sentiq stream`: makes a stream, sends texts to it, shows its series, comparisons and shifts, and labels texts."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from webapp.client import Bucket, Estimate, Job, Labels, SampledText, Sentiq, Shift, Stream, StreamNotFound, StreamState
from webapp.client.batch import Screen
from webapp.client.file_options import Type, reads_a_file, require_file
from webapp.client.files import FileOptions
from webapp.client.options import (
    AsJson,
    Key,
    Url,
    complain,
    connect,
    local,
    one_line,
    print_json,
    wants_json,
)

streams = typer.Typer(
    help="Counts texts over time: shares, comparisons and shifts with their intervals.", no_args_is_help=True
)
SEND_PATIENCE_S = 300.0
Name = Annotated[str, typer.Argument(metavar="STREAM", help="The stream's name.", show_default=False)]
Segments = Annotated[list[str] | None, typer.Option("--segment", help="Only this segment; may be given several times.")]
From = Annotated[str | None, typer.Option("--from", help="Only texts from this time on, in ISO 8601.")]
To = Annotated[str | None, typer.Option("--to", help="Only texts before this time.")]
_ANSWERS: dict[str, Literal["NEGATIVE", "NEUTRAL", "POSITIVE", "cannot tell"]] = {
    "p": "POSITIVE",
    "n": "NEGATIVE",
    "u": "NEUTRAL",
    "?": "cannot tell",
}


@streams.command()
def create(
    context: typer.Context,
    stream: Name,
    ttl: Annotated[
        int | None, typer.Option(min=60, help="Seconds that counts are kept.", show_default="the service's longest")
    ] = None,
    keep_sample: Annotated[
        bool | None,
        typer.Option(
            "--keep-sample/--no-keep-sample",
            help="Keep the texts of a random sample, so that they can be labelled.",
            show_default=False,
        ),
    ] = None,
    alias: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SEGMENT=NAME", help="Another name of a segment, which is masked too; may be given several times."
        ),
    ] = None,
    no_mask: Annotated[bool, typer.Option("--no-mask", help="Never mask the names of segments.")] = False,
    sensitivity: Annotated[
        float | None, typer.Option(help="How many false alarms of a shift are acceptable in a day.")
    ] = None,
    callback_url: Annotated[str | None, typer.Option(help="Where each shift is posted.")] = None,
    url: Url = None,
    api_key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Makes a stream, or gives one that is there these settings: what is left out has its default again."""
    if no_mask and alias:
        raise typer.BadParameter("it has no effect with --no-mask", param_hint="--alias")
    aliases: dict[str, list[str]] = {}
    for one in alias or ():
        segment, sign, name = one.rpartition("=")
        if not (sign and segment and name):
            raise typer.BadParameter(f"{one} is not like SEGMENT=NAME", param_hint="--alias")
        aliases.setdefault(segment, []).append(name)
    with connect(context) as sentiq:
        chosen = sentiq.stream(stream)
        if keep_sample is None:
            with suppress(StreamNotFound):
                if chosen.state().keep_sample:
                    raise typer.BadParameter(
                        f"the texts that {stream} keeps would be removed; say --keep-sample, or --no-keep-sample to"
                        " have them removed",
                        param_hint="--keep-sample",
                    )
        _tell(
            context,
            chosen.create(
                ttl=ttl,
                keep_sample=bool(keep_sample),
                mask_segments=False if no_mask else aliases or None,
                sensitivity=sensitivity,
                callback_url=callback_url,
            ),
        )


@streams.command("list")
def list_(context: typer.Context, url: Url = None, api_key: Key = None, as_json: AsJson = False) -> None:
    """Lists your streams."""
    with connect(context) as sentiq:
        found = sentiq.streams()
    if wants_json(context):
        for state in found:
            print_json(asdict(state))
        return
    table = _table("stream", "texts", "created", "expires")
    for state in found:
        table.add_row(state.name, f"{state.texts:,}", local(state.created_at), local(state.expires_at))
    Console(highlight=False).print(table if found else "No streams.")


@streams.command()
def show(context: typer.Context, stream: Name, url: Url = None, api_key: Key = None, as_json: AsJson = False) -> None:
    """Shows a stream, its settings and segments."""
    with connect(context) as sentiq:
        _tell(context, sentiq.stream(stream).state())


@streams.command()
@reads_a_file
def send(
    context: typer.Context,
    reading: FileOptions,
    stream: Name,
    file: Annotated[
        Path, typer.Argument(help="A file of any kind that `sentiq batch` reads; - is stdin, with --type.")
    ],
    time: Annotated[str | None, typer.Option(help="The column with the times.", show_default="time")] = None,
    segment: Annotated[str | None, typer.Option(help="The column with the segments.", show_default="segment")] = None,
    author: Annotated[str | None, typer.Option(help="The column with the authors.", show_default="author")] = None,
    id: Annotated[
        str | None,
        typer.Option(help="The column with the ids; a text with a known id is not counted again.", show_default="id"),
    ] = None,
    tz: Annotated[str | None, typer.Option(help="The zone of times that have none.", show_default="UTC")] = None,
    dates: Annotated[
        Literal["day-first", "month-first"] | None, typer.Option(help="How to read dates like 3/4/2026.")
    ] = None,
    gold: Annotated[
        Literal["all", "random"] | None,
        typer.Option(help="random: the rows with a label in the column gold are a random sample."),
    ] = None,
    type: Type = None,
    url: Url = None,
    api_key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Sends a file's texts to a stream, and waits until they are counted."""
    require_file(file, type)
    columns = {"time": time, "segment": segment, "author": author, "id": id}
    source = sys.stdin.buffer if str(file) == "-" else file
    screen = Screen()
    with connect(context, SEND_PATIENCE_S, screen) as sentiq:
        to = sentiq.stream(stream)
        job = _sent(sentiq, to, screen, source, **columns, tz=tz, dates=dates, gold=gold, **reading, content_type=type)
    if wants_json(context):
        print_json(asdict(job))
    else:
        failed = f", {job.failed:,} failed" if job.failed else ""
        print(f"{stream}: {job.total:,} texts{failed}")
    if job.status != "succeeded":
        raise typer.Exit(1)


def _sent(sentiq: Sentiq, stream: Stream, screen: Screen, source: Path | IO[bytes], **reading: Any) -> Job:
    """Sends a file and waits until it is counted, with both shown."""
    job: Job | None = None
    try:
        screen.stage("Sending")
        job = stream.send(source, on_upload=lambda sent: screen.show(sent, None, f"{sent / 1e6:.1f} MB"), **reading)
        screen.stage("Counting")
        return sentiq.wait(
            job, on_progress=lambda now: screen.show(now.done, now.total, f"{now.done:,} of {now.total:,}")
        )
    except ValueError as fault:
        raise typer.BadParameter(f"{fault}; give it with --type", param_hint="FILE") from None
    except KeyboardInterrupt:
        screen.close()
        screen.say("Nothing was counted." if job is None else f"Job {job.id} goes on; sentiq cancel {job.id} ends it.")
        raise
    finally:
        screen.close()


@streams.command()
def series(
    context: typer.Context,
    stream: Name,
    segment: Segments = None,
    bucket: Annotated[Literal["minute", "hour", "day"], typer.Option(help="What is counted together.")] = "hour",
    tz: Annotated[str | None, typer.Option(help="The time zone, such as Europe/Berlin.", show_default="UTC")] = None,
    masked: Annotated[bool, typer.Option("--masked", help="By the texts with the names of segments masked.")] = False,
    start: From = None,
    end: To = None,
    url: Url = None,
    api_key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Shows the shares over time, with their intervals of 95 %."""
    with connect(context) as sentiq:
        found = sentiq.stream(stream).series(
            *(segment or ()), bucket=bucket, tz=tz, masked=masked or None, start=start, end=end
        )
    if wants_json(context):
        for one in found:
            print_json(asdict(one))
        return
    table = _table("time", "segment", "texts", "neg", "neu", "pos", "net")
    for one in found:
        segment_name = Text(one_line(one.segment or "-"))
        table.add_row(one.start.strftime("%Y-%m-%d %H:%M"), segment_name, f"{one.texts:,}", *_shares(one))
    Console(highlight=False).print(table if found else "No texts.")
    for note in dict.fromkeys(one.note for one in found if one.note):
        complain(note)


@streams.command()
def compare(
    context: typer.Context,
    stream: Name,
    segments: Annotated[list[str] | None, typer.Argument(help="The segments; with --at or --with one at most.")] = None,
    at: Annotated[str | None, typer.Option(help="Compare the time before with the time after.")] = None,
    window: Annotated[str | None, typer.Option(help="How long before and after, such as 24h.")] = None,
    other: Annotated[str | None, typer.Option("--with", help="Compare with another stream.")] = None,
    masked: Annotated[
        bool | None, typer.Option("--masked/--unmasked", help="Whether the names of segments are masked.")
    ] = None,
    start: From = None,
    end: To = None,
    url: Url = None,
    api_key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Says who is ahead, in sentences that may be printed."""
    with connect(context) as sentiq:
        found = sentiq.stream(stream).compare(
            *(segments or ()), at=at, window=window, other=other, masked=masked, start=start, end=end
        )
    if wants_json(context):
        for one in found:
            print_json(asdict(one))
        return
    for one in found:
        print(one.sentence)
        if one.mask_changes_verdict and one.unmasked is not None:
            print(f"  With the names in the texts: {one.unmasked.verdict}.")
    for note in dict.fromkeys(one.note for one in found if one.note):
        complain(note)


@streams.command()
def shifts(context: typer.Context, stream: Name, url: Url = None, api_key: Key = None, as_json: AsJson = False) -> None:
    """Shows when the mood shifted, the newest first."""
    with connect(context) as sentiq:
        found = sentiq.stream(stream).shifts()
    for shift in found:
        if wants_json(context):
            print_json(asdict(shift))
        else:
            print(shift.sentence)
    if not (found or wants_json(context)):
        print("No shifts.")


@streams.command()
def watch(context: typer.Context, stream: Name, url: Url = None, api_key: Key = None, as_json: AsJson = False) -> None:
    """Shows what happens in a stream as it happens, until Ctrl-C."""
    with connect(context) as sentiq:
        for event in sentiq.stream(stream).events():
            if wants_json(context):
                print_json({"event": event.kind} | ({} if event.data is None else asdict(event.data)))
            elif isinstance(event.data, Bucket):
                negative, _, positive, net = _shares(event.data)
                counted = f"{event.data.texts:,} texts, {negative} negative, {positive} positive, net {net}"
                print(f"{local(event.data.start)[:-3]}  {one_line(event.data.segment or '-')}: {counted}", flush=True)
            elif isinstance(event.data, Shift):
                print(f"SHIFT  {event.data.sentence}", flush=True)


@streams.command()
def label(
    context: typer.Context,
    stream: Name,
    by: Annotated[str | None, typer.Option(help="Who labels.", show_default=False)] = None,
    segment: Annotated[str | None, typer.Option(help="Only texts of this segment.")] = None,
    count: Annotated[int, typer.Option(min=1, max=500, help="How many texts.")] = 20,
    url: Url = None,
    api_key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Shows random texts one by one and takes your label for each: p, n, u (neutral), ? (cannot tell), q to end."""
    with connect(context) as sentiq:
        chosen = sentiq.stream(stream)
        standing: Labels | None = None
        text = None
        for text in chosen.sample(count, by=by, segment=segment):
            answer = _asked(text, sys.stdin.readline)
            if answer is None:
                break
            standing = chosen.label({text.id: _ANSWERS[answer]}, by=by)
        if text is None:
            print("There is no text to label: all that are kept have a label, or none are kept yet.", file=sys.stderr)
        standing = standing or chosen.labels()
    if wants_json(context):
        print_json(asdict(standing))
        return
    for one in standing.labels:
        missing = f"{one['needed']:,} more before shares are corrected" if one["needed"] else "shares are corrected"
        print(f"{one_line(one['segment'] or '-')}: {one['counted']:,} labels, {missing}")


def _asked(text: SampledText, read: Callable[[], str]) -> str | None:
    """The answer for a text, or None if there is to be no more."""
    about = "" if text.segment is None else f"[{one_line(text.segment)}] "
    print(f"\n{about}{one_line(text.text)}", file=sys.stderr)
    while True:
        print("p, n, u, ? or q: ", end="", file=sys.stderr, flush=True)
        line = read()
        answer = line.strip().lower()
        if answer in _ANSWERS:
            return answer
        if answer == "q" or not line:
            return None


@streams.command()
def remove(context: typer.Context, stream: Name, url: Url = None, api_key: Key = None, as_json: AsJson = False) -> None:
    """Removes a stream with all that is kept of it."""
    with connect(context) as sentiq:
        sentiq.stream(stream).delete()
    if wants_json(context):
        print_json({"removed": stream})
    else:
        print(f"Removed {stream}.")


def _tell(context: typer.Context, state: StreamState) -> None:
    if wants_json(context):
        print_json(asdict(state))
        return
    facts = {
        "stream": state.name,
        "texts": f"{state.texts:,}, {state.repeated:,} repeated, {state.failed:,} failed,"
        f" {state.unsupported_language:,} in other languages",
        "sample": "kept with its texts" if state.keep_sample else "kept without its texts",
        "created": local(state.created_at),
        "expires": local(state.expires_at),
    }
    for name, value in facts.items():
        print(f"{name:<9} {value}")
    for one in state.segments or ():
        print(f"{'segment':<9} {one_line(one['segment'] or '-')}: {one['texts']:,} texts")


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    for name in names:
        justify: Literal["left", "right"] = "left" if name in ("stream", "segment", "time") else "right"
        table.add_column(name, no_wrap=name != "segment", justify=justify)  # names are folded where there is no room
    return table


def _shares(one: Bucket) -> list[str]:
    shares = [f"{100 * share.estimate:.0f} %" for share in (one.negative, one.neutral, one.positive)]
    return [*shares, _net(one.net)]


def _net(net: Estimate) -> str:
    told = f"{100 * net.estimate:+.0f}"
    return told if net.low is None or net.high is None else f"{told} ({100 * net.low:+.0f} to {100 * net.high:+.0f})"
