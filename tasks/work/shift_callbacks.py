"""The callbacks of shifts, in the form in which `tasks.work.callbacks` posts them."""

from __future__ import annotations

from tasks.store.client import name_of
from tasks.store.connections import Client
from tasks.streams.keys import stream_key
from tasks.streams.shifts import SHIFT_CALLBACKS
from tasks.work.callbacks import Kind
from tasks.work.delivery import standard_headers


def found_shifts(client: Client) -> Kind:
    """The callbacks of the shifts of streams. `client`: connected to the server of jobs and streams."""

    def body(shift_id: str) -> tuple[str, bytes] | None:
        url, told, uid = client.hmget(_facts_key(shift_id), ["callback_url", "body", "uid"])
        if url is None or told is None or uid is None:
            return None
        if not client.exists(stream_key(name_of(uid))):  # deleted meanwhile
            client.delete(_facts_key(shift_id))
            return None
        return name_of(url), told

    return Kind("shift", SHIFT_CALLBACKS, _facts_key, body, _headers)


def _facts_key(shift_id: str) -> str:
    return f"sentiq:shift:{shift_id}"


def _headers(secret: str, shift_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    return standard_headers(secret, f"stream-shift-{shift_id}", timestamp, body)
