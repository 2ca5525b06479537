"""Where the data of installed packages is."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path


def folder_of(package: str) -> Path:
    """The folder of a package of the extra `training`, without importing it.

    Raises:
        SystemExit: it is not installed.
    """
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f'the package {package} is not installed: pip install "sentiq[training]"')
    return Path(spec.submodule_search_locations[0])
