"""The Lua scripts pass the linter of `make lint`, and the linter finds the faults that it should."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tasks.store.scripts import load_script, source
from tests.support import lua
from tests.support.stack import Stack

GOOD = """-- Adds to a count.
--
-- KEYS[1] the count
-- ARGV[1] how much
-- ARGV[2] and all after it: as much again
--
-- Returns the sum.
local count, much = KEYS[1], tonumber(ARGV[1])

for i = 2, #ARGV do much = much + ARGV[i] end
if much > 0 then return redis.call('INCRBY', count, much) end
return {sum = much}
"""


def written(folder: Path, text: str, name: str = "script.lua") -> Path:
    """A script in a folder of its own."""
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", lua.scripts(), ids=lambda path: path.stem)
def test_script_is_sound(path: Path) -> None:
    """Each script passes the linter."""
    assert lua.faults(path) == []


def test_shared_functions_are_used() -> None:
    """There are files that scripts include, and each of their functions is used by a script."""
    shared = [
        path for path in lua.scripts() if any(f"-- include {path.name}" in other.read_text() for other in lua.scripts())
    ]
    assert [path.name for path in shared] == ["job.lua", "stream.lua"]
    assert [lua.unused(path) for path in shared] == [[], []]


def test_good_script(tmp_path: Path) -> None:
    """A correct script has no faults."""
    assert lua.faults(written(tmp_path, GOOD)) == []


@pytest.mark.parametrize(
    ("right", "wrong", "fault"),
    [
        (
            "return redis.call('INCRBY', count, much)",
            "return redis.call('INCRBY', count, mcuh)",
            "`mcuh` is not declared",
        ),
        ("return {sum = much}", "return {sum = sum}", "`sum` is not declared"),
        ("return {sum = much}", "answer = much", "`answer` is not declared"),
        ("return {sum = much}", "return print(much)", "`print` is not declared"),
        ("return {sum = much}", "local function f(x) return much end", "`x` is never used"),
        ("return {sum = much}", "local answer = much", "`answer` is never used"),
        ("return {sum = much}", "do local answer = 1; answer = 2 end", "`answer` is never used"),
        ("return {sum = much}", "if much then local a = 1 else return 0 end", "`a` is never used"),
        ("return {sum = much}", "for key in pairs(KEYS) do return 1 end", "`key` is never used"),
        ("for i = 2", "for much = 2", "`much` hides another of that name"),
        ("return {sum = much}", "function f() return 1 end", "a function is global"),
        ("return {sum = much}", "return ARGV[1]", "ARGV[1] has no name from the start"),
        ("return {sum = much}", "return KEYS[2]", "KEYS[2] is not told of"),
        ("KEYS[1], tonumber(ARGV[1])", "KEYS[1], tonumber(ARGV[3])", "ARGV[3] is not told of"),
        ("KEYS[1], tonumber(ARGV[1])", "KEYS[1], 1", "ARGV[1] is not used"),
        ("-- Adds to a count.\n--\n", "", "it does not say what it is for"),
        ("-- KEYS[1] the count\n", "", "it does not say what its KEYS are"),
        ("-- Returns the sum.\n", "", "it does not say what it returns"),
    ],
)
def test_faults_are_found(tmp_path: Path, right: str, wrong: str, fault: str) -> None:
    """Each kind of fault is found in a script that is otherwise correct."""
    assert right in GOOD
    assert fault in lua.faults(written(tmp_path, GOOD.replace(right, wrong)))


def test_included_names(tmp_path: Path) -> None:
    """Scripts know the names of the files that they include. Hiding such a name is a fault, and so is a name that no
    script uses.
    """
    shared = written(tmp_path, "-- Shared.\n--\n-- KEYS: any\nlocal one, two = 1, 2\n", "shared.lua")
    body = "-- Tells.\n--\n-- KEYS: any\n--\n-- Returns a number.\n-- include shared.lua\n"
    assert lua.faults(written(tmp_path, f"{body}return one\n")) == []
    assert lua.unused(shared) == ["`two` is used by no script"]
    assert lua.faults(written(tmp_path, f"{body}local one = 2\nreturn one\n")) == ["`one` hides another of that name"]


def test_the_server_takes_every_script(server: Stack) -> None:
    """The server can compile each script with what it includes, and the script is called by its digest."""
    for path in lua.scripts():
        package = ".".join(path.relative_to(lua.ROOT).parent.parent.parts)
        script: Any = load_script(server.redis, package, path.stem)
        assert server.redis.script_load(source(package, path.stem)) == script.sha


def test_forgotten_scripts(server: Stack) -> None:
    """A script that the server has forgotten, as happens when it restarts, is sent again."""
    script: Any = load_script(server.redis, "tasks.store", "limit_give_back")
    for _ in range(2):
        script(keys=["sentiq:l:x"], args=[1])
        assert server.redis.script_exists(script.sha) == [True]
        server.redis.script_flush()
