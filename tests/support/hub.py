"""A server that answers like the Hugging Face hub, for one model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def hub(name: str, folder: Path) -> Iterator[tuple[str, set[str]]]:
    """Serves a folder as the model NAME at its only commit; yields the address, and the files fetched so far."""
    fetched: set[str] = set()

    class _Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._file(send=False)

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            if path in (f"/api/models/{name}/revision/{revision}" for revision in ("main", COMMIT)):
                self._json({"id": name, "sha": COMMIT, "siblings": []})
            elif path.startswith(f"/api/models/{name}/tree/"):
                self._json(
                    [
                        {
                            "type": "file",
                            "path": str(file.relative_to(folder)),
                            "size": file.stat().st_size,
                            "oid": _id(file),
                        }
                        for file in sorted(folder.rglob("*"))
                        if file.is_file()
                    ]
                )
            else:
                self._file(send=True)

        def log_message(self, *_: object) -> None:
            pass

        def _json(self, body: object) -> None:
            self._answer(json.dumps(body).encode(), {"Content-Type": "application/json"})

        def _file(self, *, send: bool) -> None:
            file = folder / urlsplit(self.path).path.removeprefix(f"/{name}/resolve/{COMMIT}/").lstrip("/")
            if not file.is_file():
                self.send_response(404)
                self.end_headers()
                return
            if send:
                fetched.add(str(file.relative_to(folder)))
            self._answer(file.read_bytes(), {"ETag": f'"{_id(file)}"', "X-Repo-Commit": COMMIT}, send=send)

        def _answer(self, body: bytes, headers: dict[str, str], *, send: bool = True) -> None:
            self.send_response(200)
            for header, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(header, value)
            self.end_headers()
            if send:
                self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", fetched
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _id(file: Path) -> str:
    return sha1(file.read_bytes(), usedforsecurity=False).hexdigest()
