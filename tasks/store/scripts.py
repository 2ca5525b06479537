"""Loads Lua scripts, which the server runs atomically, from `lua/<name>.lua` beside the module that calls them.

A line `-- include <file>` is replaced by that file of the same folder. A script is called by the SHA1 of its text;
redis-py sends the text itself when the server does not know it: the first time, and after a restart.
"""

from __future__ import annotations

import re
from importlib.resources import files

from tasks.store.client import Client, Script

_INCLUDE = re.compile(r"^-- include (\S+)\.lua$", re.MULTILINE)


def source(package: str, name: str) -> str:
    """The text of a package's script, including the files that it names."""
    text = files(package).joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")
    return _INCLUDE.sub(lambda found: source(package, found[1]), text)


def load_script(client: Client, package: str, name: str) -> Script:
    """A script that is called with `keys` and `args`. Loading it makes no connection."""
    return client.register_script(source(package, name))
