"""`sentiq demo`, which is also `python -m webapp.demo`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode

import typer

from webapp.client import Sentiq
from webapp.client.batch import Screen
from webapp.client.demo.play import CAMPAIGN, MOST_SECONDS, NAMES, RELEASE, SHOW, Demo, as_csv
from webapp.client.demo.stories import labelled, release
from webapp.client.options import Key, Url, complain, connect, key_of


def demo(
    context: typer.Context,
    seconds: Annotated[
        int, typer.Option(min=0, max=MOST_SECONDS, help="How long the show is replayed live; 0 is not at all.")
    ] = 90,
    again: Annotated[
        bool, typer.Option("--again", help="Remove the streams that an earlier run has left, and begin anew.")
    ] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Only remove the demo's streams.")] = False,
    save: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Only write the demo's file, a CSV to try the pages with.")
    ] = None,
    url: Url = None,
    api_key: Key = None,
) -> None:
    """Fills a service with something to look at: a show, live; a campaign; a release. The texts are made up."""
    now = datetime.now(UTC)
    if save is not None:
        _, texts = release(now)
        save.write_bytes(as_csv(texts, labelled(texts)))
        print(f"{save}: {len(texts)} texts about a release, some of each platform with a label")
        return
    screen = Screen()
    with connect(context, screen=screen) as sentiq:
        played = Demo(sentiq, complain)
        if remove or again:
            played.remove()
        if remove:
            print("The demo's streams are removed; its file's job goes by itself.")
            return
        if left := played.there():
            complain(f"{' and '.join(left)} of an earlier run: sentiq demo --again begins anew, --remove removes them")
            _print_streams(sentiq.url)
            raise typer.Exit(1)
        try:
            _play(sentiq, played, screen, now, seconds, has_key=key_of(context) is not None)
        except KeyboardInterrupt:
            screen.close()
            complain("stopped; what came in stays for two days, or until sentiq demo --remove")
            raise typer.Exit(130) from None
        finally:
            screen.close()


def _play(sentiq: Sentiq, played: Demo, screen: Screen, now: datetime, seconds: int, *, has_key: bool) -> None:
    url = sentiq.url
    if seconds:
        sentiq.predict("Does this key do for the live part?")  # else it would fail when most is done
    complain("the texts are made up, and so are the show, the candidates and the app")
    if has_key:
        complain("the pages ask for a key: sign in with the one that you gave here")
    writer = played.fill_show(now)
    _print("A show, live", f"{url}/streams/{SHOW}")
    played.fill_campaign(now)
    _print("A campaign", f"{url}/streams/{CAMPAIGN}")
    _print("Label its texts", f"{url}/streams/{CAMPAIGN}/label")
    at, job = played.fill_release(now)
    _print("A release", f"{url}/streams/{RELEASE}")
    columns = {"time": "time", "segment": "platform", "label": "label", "author": "author"}
    _print("A file's report", f"{url}/files/{job.id}?{urlencode(columns)}#report")
    _print("The service", f"{url}/status")
    _print("The same by", f"sentiq stream compare {RELEASE} Android --at {at.isoformat(timespec='minutes')}")
    if not seconds:
        return
    complain(f"the show goes on for {seconds} s (Ctrl-C stops it), and its mood turns after a third of that")
    screen.stage("The show")
    sent = played.live(writer, seconds, lambda passed: screen.show(passed, seconds, f"{passed:.0f} of {seconds} s"))
    screen.close()
    complain(f"the show is over: {sent} texts")


def _print_streams(url: str) -> None:
    for name in NAMES:
        print(f"{url}/streams/{name}", flush=True)


def _print(what: str, where: str) -> None:
    print(f"{what:<16} {where}", flush=True)
