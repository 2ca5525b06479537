"""What a file that is downloaded is called."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote

from tasks.jobs.job import Job

_MOST = 80
_ENDINGS = re.compile(
    r"(\.(csv|tsv|txt|json|ndjson|jsonl|xlsx|xlsm|xlsb|xls|ods|parquet|gz|zip))+$", re.IGNORECASE | re.ASCII
)
_UNSAFE = re.compile(r'[\\/:*?"<>|%;]+')
"""What a name cannot have on some system, or what some browser takes for a part of the header."""


def disposition(job: Job, ending: str, *, inline: bool = False) -> str:
    """The header Content-Disposition of a file about a job (RFC 6266): `reviews-scored.csv`, by the job's name, in
    ASCII and, if that is not all of it, in UTF-8 too; of a job without a name by its id.

    Args:
        job: the job.
        ending: what is added to the name, such as `-scored.csv`.
        inline: whether a browser shows the file rather than save it.
    """
    stem = _stem(job.name or "")
    name = f"{stem or job.id}{ending}"
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    if stem and not re.search(r"\w", _stem(plain.removesuffix(ending))):
        plain = f"{job.id}{ending}"
    told = f'{"inline" if inline else "attachment"}; filename="{plain}"'
    return told if plain == name else f"{told}; filename*=UTF-8''{quote(name, safe='')}"


def _stem(name: str) -> str:
    """A name without its ending, and without what is no part of a name: signs that cannot be seen, or that turn the
    direction of writing, folders, and dots at its ends.
    """
    seen = "".join(sign for sign in name if unicodedata.category(sign)[0] != "C" and sign not in "\u2028\u2029")
    return _ENDINGS.sub("", _UNSAFE.sub("_", seen).strip())[:_MOST].strip(" .")
