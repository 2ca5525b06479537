"""Checks Lua scripts as `ruff` checks Python: `python -m tests.support.lua` prints what is wrong with any of ours.

A script may name nothing that is neither declared nor the server's, declare nothing that it does not use, and give no
name twice in one place; its head says what it is for, what each of its keys and arguments is, and what it returns; and
it gives its keys and arguments names before it does anything.
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
    *("KEYS", "ARGV", "redis", "cjson", "ipairs", "pairs", "tonumber", "tostring", "type", "unpack"),
    *("math", "string", "table"),
}
"""What the server gives to a script, as far as we use it."""


def scripts() -> list[Path]:
    """All of ours."""
    return sorted((ROOT / "tasks").rglob("*.lua"))


@dataclass
class Scope:
    """The names that are declared in one block."""

    outer: Scope | None
    used: dict[str, bool] = field(default_factory=dict)

    def find(self, name: str) -> Scope | None:
        """The innermost block around this one that declares a name."""
        return self if name in self.used else self.outer and self.outer.find(name)


class Names:
    """Follows names through a script."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def block(self, statements: list[astnodes.Node], scope: Scope) -> None:
        """The statements of a block, each with what those before it have declared."""
        for statement in statements:
            self.node(statement, scope)

    def close(self, scope: Scope) -> None:
        """The end of a block."""
        self.faults += [f"`{name}` is never used" for name, used in scope.used.items() if not used and name != "_"]

    def declare(self, name: str, scope: Scope) -> None:
        """A local name."""
        if name != "_" and (scope.find(name) is not None or name in SERVERS):
            self.faults.append(f"`{name}` hides another of that name")
        scope.used[name] = False

    def inner(self, names: list[astnodes.Node], body: astnodes.Block, scope: Scope) -> Scope:
        """A block of its own, with names that it begins with."""
        inside = Scope(scope)
        for name in names:
            if isinstance(name, astnodes.Name):
                self.declare(name.id, inside)
        self.block(body.body, inside)
        return inside

    def node(self, node: object, scope: Scope) -> None:
        """A statement or an expression."""
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
                    # To be given a value is no use.
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
    """The keys and arguments that stand in a piece of a script by their numbers."""
    for inner in ast.walk(node):
        if isinstance(inner, astnodes.Index) and isinstance(inner.idx, astnodes.Number):
            if isinstance(inner.value, astnodes.Name) and inner.value.id in ("KEYS", "ARGV"):
                yield f"{inner.value.id}[{inner.idx.n}]"
        elif isinstance(inner, astnodes.Call) and getattr(inner.func, "id", "") == "unpack" and len(inner.args) == 2:
            yield f"{inner.args[0].id}[{inner.args[1].n}]"


def _about(text: str, statements: list[astnodes.Node], *, is_library: bool) -> Iterator[str]:
    """What is wrong with a script's head, or with where it names its arguments."""
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
    # All that are told of by a number; those of a list that is as long as it happens to be are read as they come.
    listed = {line.partition("-- ")[2].split(" ")[0] for line in lines if "and all after it" in line}
    unused = {name for name in told if "[" in name} - {*bound, *later} - listed
    yield from (f"{name} is not used" for name in sorted(unused))


def faults(path: Path) -> list[str]:
    """What is wrong with one script of ours; of one that others include, `unused` tells more."""
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
    """What neither a file that others include nor any of those uses."""
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
    """Prints all that is wrong; 1 if anything is."""
    found = [
        f"{path.relative_to(ROOT)}: {fault}"
        for path in scripts()
        for fault in [*faults(path), *(unused(path) if _is_library(path) else [])]
    ]
    print("\n".join(found) or f"{len(scripts())} Lua scripts checked")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
