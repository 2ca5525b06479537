"""Keeps a service without API keys from being opened to others by mistake."""

from __future__ import annotations

import ipaddress

from tasks.errors import SettingsRefused
from tasks.settings import Settings


def refuse_open_door(settings: Settings) -> None:
    """Refuses to open a service to everybody by mistake; called before a process listens.

    Raises:
        SettingsRefused: there are no API keys, the address is not a loopback address, and ALLOW_ANONYMOUS does not say
            that this is intended.
    """
    try:
        loopback = ipaddress.ip_address(settings.host).is_loopback
    except ValueError:
        loopback = settings.host == "localhost"
    if not (loopback or settings.allow_anonymous or settings.keys):
        raise SettingsRefused(
            f"HOST: {settings.host} lets in everybody who can reach it;"
            " set API_KEYS (`sentiq key new NAME` makes a key), or ALLOW_ANONYMOUS=true if that is intended"
        )
