"""Removes from an environment what no process of an image reads: packages' tests, type stubs, and sources of C.

`python deploy/prune.py FOLDER`
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

_FOLDERS = ("tests",)
_ENDINGS = (".a", ".c", ".h", ".pxd", ".pyi", ".pyx")


def prune(environment: Path) -> int:
    """Removes them, and returns how many bytes they had."""
    folders = [path for name in _FOLDERS for path in environment.rglob(name) if path.is_dir()]
    files = [path for path in environment.rglob("*") if path.suffix in _ENDINGS and path.is_file()]
    inside = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    removed = sum({path: path.lstat().st_size for path in [*files, *inside]}.values())
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)  # one may be inside another
    for file in files:
        file.unlink(missing_ok=True)
    return removed


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python deploy/prune.py FOLDER")
    print(f"removed {prune(Path(sys.argv[1])) / 1e6:.0f} MB")
