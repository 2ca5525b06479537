"""Nobody is let in from outside without a key by oversight."""

from __future__ import annotations

import ipaddress

from tasks.errors import SettingsRefused
from tasks.settings import Settings


def refuse_open_door(settings: Settings) -> None:
    """Asked before a process listens.

    Raises:
        SettingsRefused: no API keys, another address than the loopback's, and ALLOW_ANONYMOUS does not say that this is
            meant.
    """
    try:
        loopback = ipaddress.ip_address(settings.host.strip("[]")).is_loopback
    except ValueError:
        loopback = settings.host == "localhost"
    if not (loopback or settings.allow_anonymous or settings.keys):
        raise SettingsRefused(
            f"HOST: {settings.host} lets everybody in who reaches it; set API_KEYS (`sentiq key new NAME` makes a key),"
            " or ALLOW_ANONYMOUS=true if that is meant"
        )
