"""Each patch of a library has a test that says when the patch is no longer needed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATCHES = [path for floor in ("webapp", "tasks", "model") for path in (ROOT / floor).rglob("patches/[a-z]*.py")]


@pytest.mark.parametrize("patch", PATCHES, ids=lambda path: path.stem)
def test_every_patch_has_its_end(patch: Path) -> None:
    """A patch says which version of which library it mends, and a test of its own fails once that is mended, and says
    what is to be deleted: the patch, and what imports it.
    """
    assert re.search(r" \d+\.\d+\.\d+", patch.read_text().split('"""')[1])
    (test,) = (ROOT / "tests").rglob(f"test_patch_{patch.stem}.py")
    message = re.search(rf'mended\(\s*"[^"]+",\s*("{patch.relative_to(ROOT)}[^;]*?)\)\n', test.read_text())
    assert message is not None
    users = {
        str(path.relative_to(ROOT))
        for floor in ("webapp", "tasks", "model")
        for path in (ROOT / floor).rglob("*.py")
        if re.search(rf"import .*\b{patch.stem}\b|patches\.{patch.stem} import", path.read_text())
    }
    assert set(re.findall(r"[\w/]+\.py", message[1])) == {str(patch.relative_to(ROOT)), *users}


def test_no_test_is_left_over() -> None:
    """No test of a patch outlives its patch."""
    tests = {path.stem.removeprefix("test_patch_") for path in (ROOT / "tests").rglob("test_patch_*.py")}
    assert tests == {patch.stem for patch in PATCHES}
