"""Redis over TLS: encrypted, and only with a server whose certificate is signed by a known authority."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from kombu.exceptions import OperationalError

from tasks.queue.app import create_celery
from tasks.settings import Settings
from tasks.store.connections import connect
from tests.support.stack import Stack

pytestmark = pytest.mark.debian("openssl")


def make_certificates(folder: Path) -> Path:
    """Writes `ca.pem`, and `server.pem` with its key for localhost, signed by that authority; returns the folder."""
    authority = "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=authority"
    server = (
        "req -x509 -CA ca.pem -CAkey ca.key -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2"
        " -subj /CN=localhost"
    )
    for arguments in (
        authority,
        f"{server} -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE",
    ):
        subprocess.run(["openssl", *arguments.split()], cwd=folder, check=True, capture_output=True)
    (folder / "server.pem").write_text((folder / "cert.pem").read_text() + (folder / "key.pem").read_text())
    return folder


class Terminator:
    """A proxy that speaks TLS on a port of localhost, and plain TCP with the server, whose binary has no TLS."""

    def __init__(self, certificate: Path, behind: Path) -> None:
        self._behind = behind
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(certificate)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        listening = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "localhost", 0, ssl=self._context), self._loop
        )
        self._server = listening.result()
        self.port: int = self._server.sockets[0].getsockname()[1]

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_unix_connection(self._behind)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            try:
                while data := await source.read(65536):
                    sink.write(data)
                    await sink.drain()
            except OSError:
                pass
            sink.close()

        await asyncio.gather(pump(client, to_server), pump(server, to_client))

    def close(self) -> None:
        """Ends the proxy."""

        async def end() -> None:
            self._server.close()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def terminated(make_stack: Callable[..., Stack], tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The address of a server with TLS, without parameters, and the authority's file."""
    behind = make_stack()
    behind.start_server()
    certificates = make_certificates(tmp_path)
    terminator = Terminator(certificates / "server.pem", behind.folder / "valkey.sock")
    yield f"rediss://localhost:{terminator.port}/0", certificates / "ca.pem"
    terminator.close()


def test_whole_service_over_tls(terminated: tuple[str, Path], make_stack: Callable[..., Stack]) -> None:
    """Cache, queues and results work over TLS if the address names the authority's file."""
    address, authority = terminated
    stack = make_stack(REDIS_URL=f"{address}?ssl_ca_certs={authority}", WEB_CONCURRENCY=1)
    stack.redis = connect(f"{address}?ssl_ca_certs={authority}", timeout_s=5.0)
    stack.start_worker("interactive")
    stack.start_worker("batch")
    stack.start_web()
    text = f"good {uuid.uuid4().hex}"
    assert [stack.predict(text).json()["cached"] for _ in range(2)] == [False, True]
    job = stack.ended(stack.submit([f"bad {uuid.uuid4().hex}" for _ in range(300)]))
    assert (job["status"], job["done"]) == ("succeeded", 300)


def test_unknown_authority(terminated: tuple[str, Path], make_stack: Callable[..., Stack]) -> None:
    """Neither Sentiq's Redis clients nor the queue's talk to a server whose authority is not known."""
    address, _ = terminated
    with pytest.raises(redis.ConnectionError, match="certificate verify failed"):
        connect(address, timeout_s=5.0).ping()
    with pytest.raises(OperationalError, match="certificate verify failed"):
        create_celery(Settings(redis_url=address)).connection_for_write().ensure_connection(max_retries=1)
    stack = make_stack(REDIS_URL=address, WEB_CONCURRENCY=1)
    stack.start_web()
    assert stack.http.get("/health/ready").json()["redis"] == "down"
    assert stack.predict("good").status_code == 503
