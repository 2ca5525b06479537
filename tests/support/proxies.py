"""nginx, Caddy and HAProxy in front of a service, with the very files of `deploy/proxy`: only ports, the names of files
and that of the site are other ones.
"""

from __future__ import annotations

import os
import ssl
import subprocess
from pathlib import Path

import httpx

from tests.support.stack import ROOT, Process, Stack, free_port
from tests.support.waiting import wait_until

FILES = ROOT / "deploy" / "proxy"
PREFIX = "/sentiq"
_NGINX = """
{user}
pid {folder}/nginx.pid;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""
_CADDY = """{
	admin off
	auto_https disable_redirects
	skip_install_trust
}
"""


def replaced(text: str, changes: dict[str, str]) -> str:
    """The text with these changes, each of which must have a place in it."""
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


class Webs:
    """Two webs of one service, on ports of their own, and a worker of each kind."""

    def __init__(self, **variables: str | int) -> None:
        """`variables`: settings."""
        self.stack = Stack(WEB_CONCURRENCY=1, URL_PREFIX=PREFIX, **variables)  # type: ignore[arg-type]
        self.stack.start_server()
        self.ports = (free_port(), free_port())
        for role in ("interactive", "batch"):
            self.stack.start_worker(role, wait=False)
        self.processes = [self.start(port, wait=False) for port in self.ports]
        for port in self.ports:
            self.wait_for(port)
        address = f"http://127.0.0.1:{self.ports[0]}/health/ready"
        wait_until(lambda: httpx.get(address, trust_env=False).status_code == 200, what="the workers", timeout_s=240)

    def start(self, port: int, *, wait: bool = True) -> Process:
        """Starts a web on this port."""
        self.stack.environment["PORT"] = str(port)
        web = self.stack.start_process("web", "-m", "webapp.server", "-c", self.stack.gunicorn_conf, "webapp.wsgi:app")
        if wait:
            self.wait_for(port)
        return web

    def wait_for(self, port: int) -> None:
        """Waits until the web on this port answers that it may be given requests."""
        address = f"http://127.0.0.1:{port}/health/ready?role=web"

        def ready() -> bool:
            try:
                return httpx.get(address, trust_env=False).status_code == 200
            except httpx.TransportError:
                return False

        wait_until(ready, what=f"the web on port {port}", timeout_s=120)

    def close(self) -> None:
        """Ends everything."""
        for web in self.processes:
            web.kill()
        self.stack.close()


class Proxy:
    """A proxy that is running."""

    def __init__(self, kind: str, folder: Path, ports: tuple[int, int]) -> None:
        """Starts it.

        Args:
            kind: `nginx`, `caddy`, or `haproxy`, which has no TLS.
            folder: an empty folder for its files.
            ports: those of the two webs.
        """
        self.port = free_port()
        webs = dict(zip(("127.0.0.1:8000", "127.0.0.1:8001"), (f"127.0.0.1:{port}" for port in ports), strict=True))
        authority: Path | None = folder / "cert.pem"
        scheme = "https"
        if kind == "haproxy":
            authority, scheme = None, "http"
            changes = {f"web-{place}:8000": f"127.0.0.1:{port}" for place, port in enumerate(ports, 1)}
            changes["bind :8000"] = f"bind 127.0.0.1:{self.port}"
            (folder / "haproxy.cfg").write_text(replaced((FILES / "haproxy.cfg").read_text(), changes))
            command = ["haproxy", "-W", "-f", f"{folder}/haproxy.cfg"]
        elif kind == "nginx":
            _make_certificate(folder)
            changes = {
                "listen 443 ssl;": f"listen 127.0.0.1:{self.port} ssl;",
                "sentiq.example.com;": "localhost;",
                "/etc/ssl/certs/sentiq.pem": f"{folder}/cert.pem",
                "/etc/ssl/private/sentiq.key": f"{folder}/key.pem",
            }
            (folder / "site.conf").write_text(replaced((FILES / "nginx.conf").read_text(), changes | webs))
            user = "user root;" if os.geteuid() == 0 else ""
            (folder / "nginx.conf").write_text(_NGINX.format(folder=folder, user=user))
            command = ["nginx", "-e", "stderr", "-c", f"{folder}/nginx.conf", "-g", "daemon off;"]
        else:
            changes = {"sentiq.example.com {": f"https://localhost:{self.port} {{\n\tbind 127.0.0.1"}
            site = replaced((FILES / "Caddyfile").read_text(), changes | webs)
            (folder / "Caddyfile").write_text(_CADDY + site)
            command = ["caddy", "run", "--adapter", "caddyfile", "--config", f"{folder}/Caddyfile"]
            authority = folder / "caddy" / "pki" / "authorities" / "local" / "root.crt"
        environment = os.environ | {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}

        def popen(output: int) -> subprocess.Popen[bytes]:
            return subprocess.Popen(command, env=environment, stdout=output, stderr=output, start_new_session=True)

        self.process = Process(kind, popen, folder / "log")
        self.base = f"{scheme}://localhost:{self.port}{PREFIX}"
        if authority is not None:
            wait_until(authority.exists, what=f"the certificate of {kind}", timeout_s=60)
        self.tls = ssl.create_default_context(cafile=authority)
        wait_until(self._answers, what=f"{kind} to answer", timeout_s=60)

    def _answers(self) -> bool:
        assert self.process.running, self.process.log
        try:
            return self.client().get(f"{self.base}/health/live").status_code == 200
        except httpx.TransportError:
            return False

    def client(self, **more: str) -> httpx.Client:
        """A client that trusts the proxy's certificate. `more`: headers."""
        return httpx.Client(timeout=60, trust_env=False, verify=self.tls, headers=more)

    def close(self) -> None:
        """Ends it."""
        self.process.terminate()


def _make_certificate(folder: Path) -> None:
    command = "req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost"
    command += " -addext subjectAltName=DNS:localhost"
    subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)
