"""A Docker engine in name spaces of its own: its network, mounts and processes are not the machine's, and all of them
end with one process.

The engine comes from Debian's packages and runs in a root folder of its own. Its network reaches others by a process of
a user's rights (slirp4netns), so that the machine needs no rule, no address and no setting. An engine that the machine
already has is left alone: the tests build over the tags of images that an operator may be running.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from tests.support.waiting import wait_until

PACKAGES = ("ca-certificates", "docker.io", "docker-cli", "docker-compose", "docker-buildx", "iptables", "mount")
ADDRESS = "10.0.2.100"
"""What slirp4netns gives the engine's network."""
_CGROUP = "sentiq-containers"
_CLONE_NEWNET = 0x40000000
_UNMOUNTED = ("unshare", "--mount", "--propagation", "private")
# Ends a process with the one that started it, even if that is killed.
_WITH_PARENT = ("setpriv", "--pdeathsig", "KILL")
_START = """
set -e
cd "$1"
mount --bind . .
cd "$1"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount --rbind /sys/fs/cgroup sys/fs/cgroup
mount --rbind /dev dev
mount -t tmpfs tmpfs run
mkdir -p ".$2" .old
mount --rbind "$2" ".$2"
pivot_root . .old
umount -l /.old
cd /
exec dockerd --cgroup-parent "/$3" --mtu 1500
"""


def debian(target: Path, packages: tuple[str, ...], variant: str, *options: str) -> None:
    """Debian 13 with these packages, as a folder or, with a name that ends in .tar, a file.

    Args:
        variant: mmdebstrap's: `extract` unpacks packages and runs none of their scripts.

    Raises:
        AssertionError: it failed; the message has the end of its output.
    """
    # Its mounts are gone with it, even if it is killed.
    command = [*_WITH_PARENT, *_UNMOUNTED, "mmdebstrap", f"--variant={variant}", "--dpkgopt=force-unsafe-io"]
    done = subprocess.run(
        [*command, *options, f"--include={','.join(packages)}", "trixie", str(target)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"TMPDIR": str(target.parent)},
    )
    assert done.returncode == 0, done.stderr[-3000:]


def authorities() -> list[Path]:
    """The certificates of authorities that the machine knows besides Debian's."""
    return sorted(Path("/usr/local/share/ca-certificates").glob("*.crt"))


class Engine:
    """A running engine.

    Args:
        folder: which the engine sees under the same name; the engine's own files are in it, too.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "engine"
        self._log = (folder / "dockerd.log").open("wb")
        self._outer: subprocess.Popen[bytes] | None = None
        self._network: subprocess.Popen[bytes] | None = None
        self._pid = 0

    def start(self) -> None:
        """Starts the engine in its root, and waits until it answers."""
        (self.root / "etc" / "resolv.conf").write_text("nameserver 10.0.2.3\n")
        for file in authorities():
            shutil.copy(file, self.root / "usr" / "local" / "share" / "ca-certificates")
        subprocess.run(["chroot", self.root, "update-ca-certificates"], check=True, capture_output=True)
        shared = self.folder / "shared"
        shared.mkdir(exist_ok=True)
        (self.folder / "start.sh").write_text(_START)
        namespaces = ("unshare", "--mount", "--propagation", "private", "--net", "--pid", "--fork", "--kill-child")
        script = ("bash", str(self.folder / "start.sh"), str(self.root), str(shared), _CGROUP)
        plain = {"PATH": os.environ["PATH"], "HOME": "/root"}
        self._outer = subprocess.Popen(
            [*_WITH_PARENT, *namespaces, *script], stdout=self._log, stderr=subprocess.STDOUT, env=plain
        )
        outer = self._outer.pid
        children = Path(f"/proc/{outer}/task/{outer}/children")

        def child() -> int:
            assert self._outer is not None
            assert self._outer.poll() is None, self.log()
            return int((children.read_text().split() or ["0"])[0])

        self._pid = wait_until(child, what="the engine's first process")
        tap = ("slirp4netns", "--configure", "--mtu=1500", "--disable-host-loopback", str(self._pid), "tap0")
        self._network = subprocess.Popen([*_WITH_PARENT, *tap], stdout=self._log, stderr=subprocess.STDOUT)

        def answers() -> bool:
            assert self._outer is not None
            assert self._outer.poll() is None, self.log()
            return self._run("docker", "info").returncode == 0

        wait_until(answers, what="the engine to answer", timeout_s=60)
        # Otherwise all containers together would get as much of a busy machine as a single process outside of them.
        shares = Path("/sys/fs/cgroup/cpu") / _CGROUP
        if shares.parent.exists():
            shares.mkdir(exist_ok=True)
            (shares / "cpu.shares").write_text("16384")

    def log(self) -> str:
        """The end of what the engine has written."""
        return (self.folder / "dockerd.log").read_text(errors="replace")[-4000:]

    def _run(
        self, *command: str, at: Path | None = None, given: bytes | IO[bytes] = b""
    ) -> subprocess.CompletedProcess[bytes]:
        # Without the caller's variables: one such as SSL_CERT_FILE would hold in here, too.
        plain = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
        enter = ("nsenter", "--target", str(self._pid), "--mount", "--pid", "--net", f"--wdns={at or '/'}")
        source: dict[str, Any] = {"input": given} if isinstance(given, bytes) else {"stdin": given}
        return subprocess.run([*enter, *command], **source, capture_output=True, check=False, env=plain)

    def run(self, *command: str, at: Path | None = None, given: bytes | IO[bytes] = b"") -> str:
        """What a command prints that runs beside the engine, in the folder `at`, with `given` as its input.

        Raises:
            AssertionError: it failed; the message has the end of its output.
        """
        done = self._run(*command, at=at, given=given)
        said = done.stdout.decode(errors="replace")
        assert done.returncode == 0, f"{' '.join(command)}: {(said + done.stderr.decode(errors='replace'))[-5000:]}"
        return said

    def load(self, archive: Path, name: str, *changes: str) -> None:
        """Makes an image of a root folder in a tar file. `changes` are instructions of a Dockerfile."""
        options = [word for change in changes for word in ("--change", change)]
        with archive.open("rb") as file:
            self.run("docker", "import", *options, "-", name, given=file)

    @contextmanager
    def network(self) -> Iterator[None]:
        """Connections that this thread makes in the block begin in the engine's network."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/thread-self/ns/net", "rb") as ours, open(f"/proc/{self._pid}/ns/net", "rb") as theirs:
            assert libc.setns(theirs.fileno(), _CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
            try:
                yield
            finally:
                libc.setns(ours.fileno(), _CLONE_NEWNET)

    def stop(self) -> None:
        """Ends the engine and every container of it."""
        if self._pid:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGTERM)
        if self._outer is not None:
            try:
                self._outer.wait(20)
            except subprocess.TimeoutExpired:
                self._outer.kill()
                self._outer.wait()
        if self._network is not None:
            self._network.kill()
            self._network.wait()
        self._log.close()


def remove_remains(folder: Path) -> None:
    """Removes what an engine leaves that was killed: files and control groups. Its processes, mounts and network have
    ended with it.
    """
    for group in sorted(Path("/sys/fs/cgroup").glob(f"**/{_CGROUP}"), reverse=True):
        for below, _, _ in os.walk(group, topdown=False):
            with suppress(OSError):  # a kernel that is still ending its processes
                os.rmdir(below)
    if folder.exists():
        shutil.rmtree(folder)


@contextmanager
def only_one() -> Iterator[Path]:
    """An empty folder for the only engine of the tests on this machine; what an earlier one has left is removed.

    Waits while another run of the tests has its engine.
    """
    folder = Path(tempfile.gettempdir()) / "sentiq-containers"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        remove_remains(folder)
        folder.mkdir(mode=0o711)
        try:
            yield folder
        finally:
            remove_remains(folder)
