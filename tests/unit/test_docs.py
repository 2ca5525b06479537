"""The documents name files, modules and tests that exist, and their links have targets."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")] + sorted(ROOT.glob("docs/*.md"))
FOLDERS = "webapp|tasks|model|tests|monitoring|benchmarks|deploy|docs"
PATH = re.compile(rf"(?<![\w./-])(?:{FOLDERS})/[\w./*-]*[\w/*]")
MODULE = re.compile(r"`(?:python -m )?((?:webapp|tasks|model|monitoring|benchmarks|tests)(?:\.[A-Za-z_]\w*)+)")
TEST = re.compile(r"`(test_[a-z0-9_]*[a-z0-9])`")
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


def prose(path: Path) -> str:
    """A document without the targets of its links, which have a test of their own."""
    return LINK.sub("]", path.read_text())


@each_document
def test_paths_exist(document: Path) -> None:
    """Each path of the repository that a document names exists; a pattern with `*` fits some file."""
    named = set(PATH.findall(prose(document)))
    assert not sorted(path for path in named if not (any(ROOT.glob(path)) if "*" in path else (ROOT / path).exists()))


def is_module(name: str) -> bool:
    """Whether a dotted name is a module or package, or a name in one."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        base = ROOT.joinpath(*parts[:end])
        for file in (base.with_suffix(".py"), base / "__init__.py", base):
            if file.exists():
                rest = parts[end:]
                return not rest or (file.is_file() and re.search(rf"\b{rest[0]}\b", file.read_text()) is not None)
    return False


@each_document
def test_modules_exist(document: Path) -> None:
    """Each module of Sentiq that a document names exists, and has the name that follows it."""
    assert not sorted(name for name in set(MODULE.findall(document.read_text())) if not is_module(name))


@each_document
def test_tests_exist(document: Path) -> None:
    """Each test that a document names as its proof exists."""
    source = "\n".join(path.read_text() for path in ROOT.glob("tests/**/test_*.py"))
    assert not sorted(name for name in set(TEST.findall(document.read_text())) if f"def {name}(" not in source)


def anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_document
def test_links_lead_somewhere(document: Path) -> None:
    """Each link to another document or to a heading has its target."""
    for target, anchor in LINK.findall(document.read_text()):
        path = (document.parent / target).resolve() if target else document
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), f"{target}#{anchor}"


def test_the_map_is_complete() -> None:
    """Each package of the service is in docs/architecture.md, so that the document keeps up with the code."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    packages = {path.parent for name in ("webapp", "tasks") for path in (ROOT / name).glob("*/__init__.py")}
    assert packages
    assert not sorted(path.name for path in packages if f"| `{path.relative_to(ROOT)}` |" not in text)


def test_the_fast_tests_exist() -> None:
    """`make test-fast` names files and folders that are there."""
    told = subprocess.run(["make", "-n", "test-fast"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = re.findall(r"\btests/\S+", told)
    assert len(names) > 20
    assert [name for name in names if not (ROOT / name).exists()] == []
