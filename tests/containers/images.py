"""The images from which compose and the Dockerfile begin, made of Debian's packages and the machine's Pythons under
the names of a registry's.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.containers.engine import Engine, authorities, debian

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = (
    "ca-certificates",
    "netbase",
    "passwd",
    "tzdata",
    "libbz2-1.0",
    "libexpat1",
    "libffi8",
    "liblzma5",
    "libncursesw6",
    "libreadline8t64",
    "libsqlite3-0",
    "libssl3t64",
    "libstdc++6",
    "libuuid1",
    "zlib1g",
)
"""What a Python is linked with, and what Debian's slim image has besides."""
OTHERS = (
    "base-files",
    "busybox-static",
    "dash",
    "haproxy",
    "prometheus",
    "prometheus-alertmanager",
    "prometheus-redis-exporter",
    "valkey-server",
)
_ASK = """
import json, sys, sysconfig
print(json.dumps([sys.base_prefix, "%d.%d" % sys.version_info[:2], bool(sysconfig.get_config_var("Py_ENABLE_SHARED"))]))
"""
# The settings of the others' official images that compose relies on.
_CHANGES = {
    "valkey/valkey": ("VOLUME /data", "WORKDIR /data"),
    "prom/prometheus": ("USER 65534:65534", "VOLUME /prometheus", 'ENTRYPOINT ["/usr/bin/prometheus"]'),
    "prom/alertmanager": ("USER 65534:65534", "VOLUME /alertmanager", "WORKDIR /alertmanager"),
    "haproxy": (
        "STOPSIGNAL SIGUSR1",
        'ENTRYPOINT ["/usr/sbin/haproxy", "-W", "-db", "-f", "/usr/local/etc/haproxy/haproxy.cfg"]',
    ),
    "oliver006/redis_exporter": ('ENTRYPOINT ["/usr/bin/prometheus-redis-exporter"]',),
}


def _pythons(version: str) -> Iterator[str]:
    """The programs of this version of Python that the machine may have."""
    if (found := shutil.which(f"python{version}")) is not None:
        yield found
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for place in (root / "versions", Path("/opt"), Path.home() / ".local" / "share" / "uv" / "python"):
        yield from map(str, sorted(place.glob(f"*/bin/python{version}"), reverse=True))


def find_python(version: str) -> tuple[Path, bool] | None:
    """The folder of a whole Python of this version, and whether it has a library of its own; None: there is none.

    One that is spread over the folders of a system cannot be copied.
    """
    for program in _pythons(version):
        done = subprocess.run([program, "-I", "-c", _ASK], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            prefix, is_version, shared = json.loads(done.stdout)
            if is_version == version and prefix not in ("/usr", "/"):
                return Path(prefix), shared
    return None


def bases() -> dict[str, str]:
    """The Dockerfile's base images: version of Python -> name."""
    names = re.findall(r"^ARG \w+_IMAGE=(python:(\d+\.\d+)\S*)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    return {version: name for name, version in names}


def others() -> list[str]:
    """The names of the images in compose's files that are made here, and are not Sentiq's."""
    files = "".join(path.read_text() for path in sorted(ROOT.glob("docker-compose*.yml")))
    names = re.findall(r"^ *image: (\S+)$", files, re.MULTILINE)
    return sorted({name for name in names if name.split(":")[0] in _CHANGES})


def make_python(engine: Engine, slim: Path, version: str) -> None:
    """The base image with this Python.

    Args:
        slim: Debian with the libraries, as a tar file.
    """
    found = find_python(version)
    assert found is not None, f"Python {version}"
    prefix, has_library = found
    extra = engine.folder / f"python{version}"
    programs = extra / "usr" / "local" / "bin"
    programs.mkdir(parents=True)
    for name in ("python", "python3"):
        (programs / name).symlink_to(f"python{version}")
    (programs / "pip").write_text('#!/bin/sh\nexec python -m pip "$@"\n')
    (programs / "pip").chmod(0o755)
    # pip trusts what the machine trusts.
    bundle = extra / "etc" / "ssl" / "machine.crt"
    bundle.parent.mkdir(parents=True)
    ours = [*sorted((engine.root / "usr/share/ca-certificates").rglob("*.crt")), *authorities()]
    bundle.write_text("".join(path.read_text().rstrip() + "\n" for path in ours))
    (extra / "etc" / "pip.conf").write_text(f"[global]\ncert = /{bundle.relative_to(extra)}\n")

    archive = engine.folder / f"python{version}.tar"
    shutil.copyfile(slim, archive)  # tar adds to a copy
    library = f"lib/python{version}"
    left_out = [f"{library}/test", f"{library}/config-*", f"{library}/idlelib", "*.a", "__pycache__"]
    packages = sorted(path.name for path in (prefix / library / "site-packages").iterdir())
    left_out += [f"{library}/site-packages/{name}" for name in packages if not re.match(r"pip($|-)", name)]
    excluded = [f"--exclude={pattern}" for pattern in left_out]
    libraries = [path.name for path in (prefix / "lib").glob("libpython*.so*")]
    parts = [f"bin/python{version}", library, *(f"lib/{name}" for name in libraries)]
    tar = ("tar", "--append", f"--file={archive}", "--owner=0", "--group=0")
    subprocess.run([*tar, f"--directory={prefix}", "--transform=s,^,./usr/local/,S", *excluded, *parts], check=True)
    files = [f"./{path.relative_to(extra)}" for path in extra.rglob("*") if not path.is_dir()]
    subprocess.run([*tar, f"--directory={extra}", *files], check=True)
    path = "PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
    variables = f"ENV {path} LANG=C.UTF-8" + (" LD_LIBRARY_PATH=/usr/local/lib" if has_library else "")
    engine.load(archive, bases()[version], variables)
    archive.unlink()


def make_others(engine: Engine, archive: Path) -> None:
    """The images that are not Sentiq's; all have the same root."""
    engine.load(archive, "others")
    for name in others():
        lines = "\n".join(("FROM others", *_CHANGES[name.split(":")[0]]))
        engine.run("docker", "build", "--quiet", "--tag", name, "-", given=lines.encode())


def unpack_others(archive: Path) -> None:
    """The root of the others' images, as a tar file."""
    links = {"sh": "busybox", "wget": "busybox", "alertmanager": "prometheus-alertmanager"}
    shell = " && ".join(f"ln -sf {program} $1/usr/bin/{name}" for name, program in links.items())
    folders = "mkdir -p $1/data $1/prometheus $1/alertmanager $1/etc/prometheus && rm -rf $1/etc/valkey"
    owners = "chown 999:1000 $1/data && chown 65534:65534 $1/prometheus $1/alertmanager"
    users = " && ".join(f"cp $1/usr/share/base-passwd/{name}.master $1/etc/{name}" for name in ("passwd", "group"))
    hook = " && ".join((shell, folders, owners, users))
    debian(archive, (*OTHERS, "base-passwd", "valkey-tools"), "extract", f"--extract-hook={hook}")


def unpack_slim(archive: Path) -> None:
    """Debian with the libraries that a Python needs, as a tar file."""
    left_out = ("doc/*", "man/*", "info/*", "locale/*")  # as Debian's slim images have it
    options = [f"--dpkgopt=path-exclude=/usr/share/{pattern}" for pattern in left_out]
    debian(archive, LIBRARIES, "essential", *options)
