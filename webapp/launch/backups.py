"""`sentiq backup` and `sentiq restore`: what Redis keeps of jobs, streams and queues, as one file."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import IO, NoReturn

import redis

from tasks.private import keep_private
from tasks.settings import Settings
from tasks.store.backup import BackupFailed, fetch, has_data, keys_in, lay
from webapp.launch.conditions import FolderLock, lock_folder, require_redis
from webapp.launch.processes import Console, StartFailed

STANDARD_OUTPUT = "-"


def backup(settings: Settings, file: str) -> None:
    """Writes the backup. A file is there only once it is complete, and for this user alone.

    Ends the process with status 1 and a sentence if that fails.
    """
    keep_private()
    if settings.embedded and settings.celery_result_backend is None and not settings.socket_path.exists():
        data_dir = settings.data_dir.absolute()
        _fail(f"no Sentiq runs on {data_dir}; while none does, copy the folder {data_dir / 'valkey'} instead")
    try:
        if file == STANDARD_OUTPUT:
            _fetch(settings, sys.stdout.buffer)
            sys.stdout.flush()
            return
        target = Path(file).resolve()  # where a link leads
        if target.exists() and not target.is_file():
            _fail(f"{file} is not a file; `sentiq backup -` writes to standard output")
        part = target.with_name(f".{target.name}.part")
        try:
            with part.open("wb") as opened:
                size = _fetch(settings, opened)
                opened.flush()
                os.fsync(opened.fileno())
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        _fail(f"{file} cannot be written ({error.strerror})")
    except (BackupFailed, StartFailed, redis.RedisError) as error:
        _fail(str(error))
    print(f"{file}: {size:,} bytes")


def _fetch(settings: Settings, into: IO[bytes]) -> int:
    try:
        return fetch(settings.results_url, into)
    except redis.RedisError:
        # Not before: a server whose disk is full refuses even a ping, and is not away.
        require_redis("CELERY_RESULT_BACKEND" if settings.celery_result_backend else "REDIS_URL", settings.results_url)
        raise


def restore(settings: Settings, file: Path, *, into: Path | None, replace: bool) -> None:
    """Makes a backup the data of the embedded server, or of the server whose folder is `into`. Neither may run.

    Ends the process with status 1 and a sentence if that fails; nothing is changed then, unless the disk is full.
    """
    keep_private()
    if into is None and not settings.embedded:
        _fail("REDIS_URL names a server of your own: end it, and give the folder of its data: --into FOLDER")
    folder = settings.data_dir.absolute() / "valkey" if into is None else into.absolute()
    lock: FolderLock | None = None
    try:
        if into is None:
            lock = lock_folder(settings.data_dir.absolute(), Console(), give_up=lambda: False)
        if has_data(folder) and not replace:
            _fail(f"{folder} has data; move them away, or say --replace, and they are removed")
        keys = keys_in(file)
        lay(file, folder)
    except OSError as error:
        _fail(f"{folder} cannot be written ({error.strerror})")
    except (BackupFailed, StartFailed) as error:
        _fail(str(error))
    finally:
        if lock is not None:
            lock.release()
    print(f"{folder}: {keys:,} keys")


def _fail(why: str) -> NoReturn:
    sys.exit(f"sentiq: {why}")
