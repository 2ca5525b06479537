"""What is refused before a service listens, because it would open or sign for others than was meant."""

from __future__ import annotations

import ipaddress

from tasks.errors import SettingsRefused
from tasks.settings import Settings

_SHOWN = 10
"""The most names of keys that a sentence lists."""


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


def refuse_unknown_callers(settings: Settings) -> None:
    """Refuses secrets for callbacks of keys that do not exist: a key whose name was misspelt would have its callbacks
    signed with the common secret.

    Raises:
        SettingsRefused: CALLBACK_SECRETS has a name that no API key has.
    """
    names = sorted({key.name for key in settings.keys.values()})
    unknown = [name for name in settings.callback_names if name not in names]
    if unknown:
        known = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
        raise SettingsRefused(
            f"CALLBACK_SECRETS: no API key has the name {unknown[0]}; "
            + (f"the keys are {known}" if names else "there are no API keys")
        )
