"""A linter for our Lua scripts: `python -m tests.support.lua` prints all faults that it finds.

A script may use only names that are declared or that the server provides, must use all names that it declares, and must
not hide one name by another. Its head comment says what the script is for, what each key and argument is, and what it
returns. And it binds its keys and arguments to names before it does anything else.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from luaparser import ast, astnodes

ROOT = Path(__file__).resolve().parents[2]
INCLUDE = re.compile(r"^-- include (\S+)$", re.MULTILINE)
SERVERS = {
    *("KEYS", "ARGV", "redis", "cjson", "ipairs", "pairs", "pcall", "tonumber", "tostring", "type", "unpack"),
    *("cmsgpack", "math", "string", "struct", "table"),
}
"""Names that the server provides to scripts, as far as Sentiq's use them."""


def scripts() -> list[Path]:
    """The paths of all our scripts."""
    return sorted((ROOT / "tasks").rglob("*.lua"))


@dataclass
class Scope:
    """The names that one block declares."""

    outer: Scope | None
    used: dict[str, bool] = field(default_factory=dict)
    """For each declared name, whether it is used."""

    def find(self, name: str) -> Scope | None:
        """The innermost block, from this one outwards, that declares a name."""
        return self if name in self.used else self.outer and self.outer.find(name)


class Names:
    """Follows declarations and uses of names through a script, and collects the faults."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def block(self, statements: list[astnodes.Node], scope: Scope) -> None:
        """Visits the statements of a block in order."""
        for statement in statements:
            self.node(statement, scope)

    def close(self, scope: Scope) -> None:
        """Reports the unused names at the end of a block."""
        self.faults += [f"`{name}` is never used" for name, used in scope.used.items() if not used and name != "_"]

    def declare(self, name: str, scope: Scope) -> None:
        """Declares a local name."""
        if name != "_" and (scope.find(name) is not None or name in SERVERS):
            self.faults.append(f"`{name}` hides another of that name")
        scope.used[name] = False

    def inner(self, names: list[astnodes.Node], body: astnodes.Block, scope: Scope) -> Scope:
        """Visits an inner block that begins with these names; returns its scope."""
        inside = Scope(scope)
        for name in names:
            if isinstance(name, astnodes.Name):
                self.declare(name.id, inside)
        self.block(body.body, inside)
        return inside

    def node(self, node: object, scope: Scope) -> None:
        """Visits a statement or an expression."""
        match node:
            case list():
                for one in node:
                    self.node(one, scope)
            case astnodes.Name():
                found = scope.find(node.id)
                if found is not None:
                    found.used[node.id] = True
                elif node.id not in SERVERS:
                    self.faults.append(f"`{node.id}` is not declared")
            case astnodes.LocalAssign():
                self.node(node.values, scope)
                for target in node.targets:
                    self.declare(target.id, scope)
            case astnodes.LocalFunction():
                self.declare(node.name.id, scope)
                self.close(self.inner(node.args, node.body, scope))
            case astnodes.AnonymousFunction():
                self.close(self.inner(node.args, node.body, scope))
            case astnodes.Fornum():
                self.node([node.start, node.stop, node.step], scope)
                self.close(self.inner([node.target], node.body, scope))
            case astnodes.Forin():
                self.node(node.iter, scope)
                self.close(self.inner(node.targets, node.body, scope))
            case astnodes.Repeat():
                inside = self.inner([], node.body, scope)
                self.node(node.test, inside)
                self.close(inside)
            case astnodes.Block():
                self.close(self.inner([], node, scope))
            case astnodes.Assign():
                self.node(node.values, scope)
                for target in node.targets:
                    # An assignment to a name does not count as its use.
                    if not isinstance(target, astnodes.Name):
                        self.node(target, scope)
                    elif scope.find(target.id) is None:
                        self.faults.append(f"`{target.id}` is not declared")
            case astnodes.Index(notation=astnodes.IndexNotation.DOT):
                self.node(node.value, scope)
            case astnodes.Field(between_brackets=False):
                self.node(node.value, scope)
            case astnodes.Function() | astnodes.Method():
                self.faults.append("a function is global")
            case astnodes.Node():
                for name, value in vars(node).items():
                    if not name.startswith("_") and name != "comments":
                        self.node(value, scope)


def _given(node: object) -> Iterator[str]:
    """The keys and arguments that a part of a script refers to by number."""
    for inner in ast.walk(node):
        if isinstance(inner, astnodes.Index) and isinstance(inner.idx, astnodes.Number):
            if isinstance(inner.value, astnodes.Name) and inner.value.id in ("KEYS", "ARGV"):
                yield f"{inner.value.id}[{inner.idx.n}]"
        elif isinstance(inner, astnodes.Call) and getattr(inner.func, "id", "") == "unpack" and len(inner.args) == 2:
            yield f"{inner.args[0].id}[{inner.args[1].n}]"


def _about(text: str, statements: list[astnodes.Node], *, is_library: bool) -> Iterator[str]:
    """The faults in a script's head comment, and in the binding of its keys and arguments."""
    head = re.match(r"(?:--.*\n)*", text)
    lines = head[0].splitlines() if head else []
    if not lines or lines[0].startswith("-- KEYS"):
        yield "it does not say what it is for"
    told = {name for line in lines if (name := line.partition("-- ")[2].split(" ")[0]).startswith(("KEYS", "ARGV"))}
    if not any(name.startswith("KEYS") for name in told):
        yield "it does not say what its KEYS are"
    if not is_library and not any(line.startswith("-- Returns ") for line in lines):
        yield "it does not say what it returns"
    rest = list(statements)
    bound: list[str] = []
    while rest and isinstance(rest[0], astnodes.LocalAssign) and (given := list(_given(rest[0]))):
        bound += given
        rest.pop(0)
    later = {name for statement in rest for name in _given(statement)}
    yield from (f"{name} has no name from the start" for name in sorted(later))
    yield from (f"{name} is not told of" for name in sorted({*bound, *later} - told))
    # Every argument that the head describes by number must be used, except those of a list of variable length.
    listed = {line.partition("-- ")[2].split(" ")[0] for line in lines if "and all after it" in line}
    unused = {name for name in told if "[" in name} - {*bound, *later} - listed
    yield from (f"{name} is not used" for name in sorted(unused))


def faults(path: Path) -> list[str]:
    """The faults of one script. For a script that others include, `unused` reports unused names."""
    text = path.read_text()
    statements = _parsed(text)
    names, scope = Names(), Scope(None)
    for included in INCLUDE.findall(text):
        Names().block(_parsed((path.parent / included).read_text()), scope)
    inside = Scope(scope)
    names.block(statements, inside)
    if not (is_library := _is_library(path)):
        names.close(inside)
    return [*names.faults, *_about(text, statements, is_library=is_library)]


def unused(library: Path) -> list[str]:
    """The names of an included file that neither it nor any script that includes it uses."""
    scope = Scope(None)
    Names().block(_parsed(library.read_text()), scope)
    for path in _users(library):
        Names().block(_parsed(path.read_text()), Scope(scope))
    return [f"`{name}` is used by no script" for name, used in scope.used.items() if not used]


def _users(path: Path) -> list[Path]:
    return [other for other in sorted(path.parent.glob("*.lua")) if path.name in INCLUDE.findall(other.read_text())]


def _is_library(path: Path) -> bool:
    return bool(_users(path))


def _parsed(text: str) -> list[astnodes.Node]:
    body: list[astnodes.Node] = ast.parse(text).body.body
    return body


def main() -> int:
    """Prints all faults; the exit status is 1 if there are any."""
    found = [
        f"{path.relative_to(ROOT)}: {fault}"
        for path in scripts()
        for fault in [*faults(path), *(unused(path) if _is_library(path) else [])]
    ]
    print("\n".join(found) or f"{len(scripts())} Lua scripts checked")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
