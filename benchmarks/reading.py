"""How fast files of texts are read, by the processor's time of one core: UTF-8 with `,` against cp1252 with `;`.

    python -m benchmarks.reading [--rows 1000000] [--rounds 8]

Each file has the columns `id`, `text` (35 characters on average, one of five with letters that are not ASCII) and
`stars`. It is read as an upload is, from its bytes, in the pieces in which a request's body comes, to the entries that
a job is made of. The kinds take turns. What else the machine does comes in bursts, so the time of each 50,000 rows is
that of the fastest round; their sum counts. Prints, for each kind, the rows in a second and the ratio to the first one.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from itertools import pairwise

from webapp.api.uploads import read_upload
from webapp.reading.texts import Limits

_PIECE_BYTES = 16 * 1024
_PART_ROWS = 50_000
_TEXTS = (
    "The room was clean and quiet.",
    "Waited an hour, then left.",
    "Très bon, le café à emporter aussi – merci !",
    "I would come back any time, really.",
    "Nothing special, but it was near the station.",
)
_KINDS = {
    "UTF-8, `,`": ("utf-8", ",", {}),
    "cp1252, `;`, declared": ("cp1252", ";", {"encoding": "cp1252"}),
    "cp1252, `;`, found": ("cp1252", ";", {}),
}


def made(rows: int, encoding: str, delimiter: str) -> bytes:
    """A file."""
    lines = ["id", "text", "stars"]
    parts = [delimiter.join(lines)]
    for n in range(rows):
        text = _TEXTS[n % len(_TEXTS)]
        parts.append(f'{n}{delimiter}"{text}"{delimiter}{1 + n % 5}')
    return ("\n".join(parts) + "\n").encode(encoding)


def pieces(raw: bytes) -> Iterator[bytes]:
    """The file as a request's body comes."""
    for start in range(0, len(raw), _PIECE_BYTES):
        yield raw[start : start + _PIECE_BYTES]


def seconds(raw: bytes, rows: int, said: dict[str, str]) -> list[float]:
    """The processor's time for reading it once: of each _PART_ROWS rows, and of what is left."""
    limits = Limits(max_bytes=2 * len(raw), max_line_bytes=1 << 20)
    count, parts, began = 0, [], time.process_time()
    upload = read_upload(pieces(raw), content_type="text/csv", content_encoding="", query=said, limits=limits)
    for _ in upload.entries:
        count += 1
        if count % _PART_ROWS == 0:
            parts.append(time.process_time())
    parts.append(time.process_time())
    if count != rows:
        raise RuntimeError(f"{count} of {rows} rows were read")
    return [end - start for start, end in pairwise([began, *parts])]


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=8)
    args = parser.parse_args()
    files = {name: (made(args.rows, encoding, delimiter), said) for name, (encoding, delimiter, said) in _KINDS.items()}
    took: dict[str, list[list[float]]] = {name: [] for name in files}
    for n in range(args.rounds):
        names = list(files)[n % len(files) :] + list(files)[: n % len(files)]
        for name in names:
            raw, said = files[name]
            took[name].append(seconds(raw, args.rows, said))
    fastest = {name: sum(map(min, zip(*rounds, strict=True))) for name, rounds in took.items()}
    first = next(iter(fastest.values()))
    for name, time_s in fastest.items():
        print(f"{name:<24} {args.rows / time_s:>10,.0f} rows/s  {first / time_s:.3f}")


if __name__ == "__main__":
    main()
