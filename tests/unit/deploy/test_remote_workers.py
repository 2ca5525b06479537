"""What makes workers on other hosts, and smaller images, possible: the overlay that publishes Redis, and pruning."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deploy.prune import prune
from tests.unit.deploy.test_containers import compose, env_file

FILES = ("-f", "docker-compose.yml", "-f", "docker-compose.remote.yml")
SERVERS = ("redis-cache", "redis-broker")


def read(*files: str, env: Path) -> dict[str, dict[str, Any]]:
    """The services as compose reads them."""
    done = compose(*files, "config", "--format", "json", env_file=env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["services"]  # type: ignore[no-any-return]


def test_overlay_publishes_redis(tmp_path: Path) -> None:
    """The overlay publishes the ports of both servers that speak TLS at the operator's address, and changes nothing
    else: files, volumes, limits and checks are those of docker-compose.yml.
    """
    env = env_file(tmp_path)
    plain = read(*FILES[:2], env=env)
    refused = compose(*FILES, "config", "-q", env_file=env)
    assert refused.returncode != 0
    assert "REDIS_ADDRESS" in refused.stderr
    env.write_text(env.read_text() + "REDIS_ADDRESS=10.1.2.3\n")
    with_it = read(*FILES, env=env)
    assert {name for name, one in with_it.items() if one != plain[name]} == set(SERVERS)
    ports = set()
    for name in SERVERS:
        (port,) = with_it[name].pop("ports")
        assert (port["host_ip"], port["target"]) == ("10.1.2.3", 6380)
        ports.add(port["published"])
        added = [volume for volume in with_it[name].pop("volumes") if volume not in plain[name]["volumes"]]
        assert [(volume["target"], volume["read_only"]) for volume in added] == [("/etc/valkey/tls", True)]
        assert set(with_it[name].pop("networks")) == {"inside", "outside"}
        script, before = with_it[name].pop("command")[-1].splitlines(), plain[name]["command"][-1].splitlines()
        assert [line for line in script if not line.startswith("tls-")] == before
        assert {"tls-port 6380", "tls-auth-clients no"} <= set(script)
        same = {key: value for key, value in plain[name].items() if key not in ("command", "networks", "volumes")}
        assert with_it[name] == same
    assert ports == {"6380", "6381"}


@pytest.mark.parametrize("name", ["pkg/tests/test_a.py", "pkg/include/a.h", "pkg/a.pyi", "pkg/lib/a.a", "tests/deep/a"])
def test_pruned(tmp_path: Path, name: str) -> None:
    """Tests, type stubs and sources of C are removed, modules and data stay, and the sum of their bytes is told."""
    kept = tmp_path / "pkg" / "testing.py"
    for path in (kept, tmp_path / name):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12345")
    assert prune(tmp_path) == 5
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [kept]
