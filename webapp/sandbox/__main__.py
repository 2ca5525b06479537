"""`python -m webapp.sandbox`, which a web process starts: see `webapp.sandbox`."""

from __future__ import annotations

import os
import sys
from typing import IO, Any

import orjson

from tasks.errors import TooManyFiles
from webapp.reading.refusals import UploadRefused
from webapp.reading.signatures import PARQUET, ZIP
from webapp.sandbox.limits import REPORT_CPU_S, confine, take_turn
from webapp.sandbox.messages import VARIABLE, Teller

TOO_MUCH = UploadRefused(413, "request_entity_too_large", "It takes too much memory to read this file; send it as CSV.")
TOO_MANY = UploadRefused(413, "request_entity_too_large", "It takes too much memory to make a report of so many lines.")


def _tell(file: IO[bytes], asked: dict[str, Any], tell: Teller) -> None:
    """Tells what is in the file. Each parser is imported for its own files alone, and takes turns with others if it
    needs much memory.
    """
    start = file.read(8)
    file.seek(0)
    if start.startswith(PARQUET):
        from webapp.sandbox.parquet import tell_parquet

        take_turn(asked["turn"], asked["wait_s"])
        tell_parquet(file, asked, tell)
        return
    if start.startswith(ZIP):
        from webapp.sandbox.zips import is_spreadsheet, opened, tell_file

        with opened(file, asked["max_bytes"]) as archive:
            if not is_spreadsheet(archive):
                tell_file(archive, tell)
                return
        file.seek(0)
    from webapp.sandbox.sheets import tell_sheet

    take_turn(asked["turn"], asked["wait_s"])
    tell_sheet(file, asked, tell)


def read(asked: dict[str, Any]) -> None:
    """Reads the file on standard input."""
    tell = Teller(sys.stdout.buffer)
    try:
        with open(0, "rb", closefd=False) as file:
            _tell(file, asked, tell)
    except UploadRefused as refused:
        tell.refuse(refused)
    except TooManyFiles:
        tell.busy()
    except MemoryError:
        tell.refuse(TOO_MUCH)
    tell.end()


def report(asked: dict[str, Any]) -> None:
    """Makes a report of the rows on standard input."""
    tell = Teller(sys.stdout.buffer)
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # numpy's threads would reserve more memory than this process has
    try:
        if asked["turn"] is not None:
            take_turn(asked["turn"], asked["wait_s"])
        from webapp.report.making import tell_report

        tell_report(sys.stdin.buffer, asked, tell)
    except UploadRefused as refused:
        tell.refuse(refused)
    except MemoryError:
        tell.refuse(TOO_MANY)
    except TooManyFiles:
        tell.busy()
    tell.end()


def main() -> None:
    """Does what is asked."""
    asked = orjson.loads(os.environ[VARIABLE])
    if "report" in asked:
        confine(writes=False, cpu_s=REPORT_CPU_S)
        report(asked)
    elif asked["writes"]:
        confine(writes=True)
        from webapp.sandbox.workbook import write_workbook

        write_workbook(sys.stdin.buffer, sys.stdout.buffer, asked)
    else:
        confine(writes=False)
        read(asked)


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:  # the web process does not want the rest
        os._exit(1)
