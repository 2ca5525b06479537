"""The overlay with two webs behind HAProxy."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.unit.deploy.test_containers import ROOT, compose, env_file

FILES = ("docker-compose.yml", "docker-compose.proxy.yml")


def test_two_webs_behind_a_proxy(tmp_path: Path) -> None:
    """Callers reach only the proxy, at the port where the web was; it asks two webs that are the same but for their
    names, by names that they have.
    """
    given = [word for file in FILES for word in ("-f", file)]
    done = compose(*given, "config", "--format", "json", env_file=env_file(tmp_path))
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout)["services"]
    alone = json.loads(compose("config", "--format", "json", env_file=env_file(tmp_path)).stdout)["services"]
    webs = [read["web"], read["web-2"]]
    assert [web.get("ports") for web in webs] == [None, None]
    published, before = read["proxy"]["ports"][0], alone["web"]["ports"][0]
    assert (published["host_ip"], published["published"]) == (before["host_ip"], before["published"])
    differ = {"build", "pull_policy", "networks"}
    first, second = ({name: value for name, value in web.items() if name not in differ} for web in webs)
    assert first == second
    assert ("build" in webs[0], "build" in webs[1]) == (True, False)
    site = (ROOT / "deploy" / "proxy" / "haproxy.cfg").read_text()
    asked = re.findall(r"^    server \S+ (\S+):8000$", site, re.MULTILINE)
    assert asked == ["web-1", "web-2"]
    aliases = [web["networks"]["inside"]["aliases"] for web in webs]
    assert aliases == [["web-1"], ["web"]]  # Prometheus finds all webs by the name web
