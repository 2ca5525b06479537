"""Each patch of a library has a test that says when the patch is no longer needed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATCHES = [path for floor in ("webapp", "tasks", "model") for path in (ROOT / floor).rglob("patches/[a-z]*.py")]


@pytest.mark.parametrize("patch", PATCHES, ids=lambda path: path.stem)
def test_every_patch_has_its_end(patch: Path) -> None:
    """A patch names the library and its version; a test of its own fails once the library is fixed, and says that the
    patch can be deleted.
    """
    assert re.search(r" \d+\.\d+\.\d+", patch.read_text().split('"""')[1])
    (test,) = (ROOT / "tests").rglob(f"test_patch_{patch.stem}.py")
    assert re.search(rf'mended\(\s*"[^"]+",\s*"{patch.relative_to(ROOT)}', test.read_text())


def test_no_test_is_left_over() -> None:
    """No test of a patch outlives its patch."""
    tests = {path.stem.removeprefix("test_patch_") for path in (ROOT / "tests").rglob("test_patch_*.py")}
    assert tests == {patch.stem for patch in PATCHES}
