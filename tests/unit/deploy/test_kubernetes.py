"""deploy/: rendered by kustomize, valid for Kubernetes, confined, and matching images, settings and metrics."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml  # type: ignore[import-untyped]

from tasks.settings import Settings
from tests.unit.deploy.test_containers import environment, last
from webapp.front.hosts import AllowedHosts

ROOT = Path(__file__).resolve().parents[3]
VERSION = "1.37.0"
OVERLAYS = ("cpu", "gpu")
SETTINGS = {name.upper() for name in Settings.model_fields}
Resource = dict[str, Any]

# KEDA 2.18's documentation: reference/scaledobject-spec, scalers/prometheus.
SCALED_OBJECT = {
    "scaleTargetRef",
    "minReplicaCount",
    "maxReplicaCount",
    "pollingInterval",
    "fallback",
    "advanced",
    "triggers",
}
TRIGGER = {"type", "name", "metricType", "metadata"}
PROMETHEUS = {"serverAddress", "query", "threshold", "ignoreNullValues"}


@lru_cache
def rendered(overlay: str) -> list[Resource]:
    """The resources that `kubectl apply -k` would send."""
    kubectl = Path(sys.executable).parent / "kubectl"
    folder = ROOT / "deploy" / "overlays" / overlay
    done = subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def of_kind(overlay: str, *kinds: str) -> list[Resource]:
    """The resources of these kinds."""
    return [one for one in rendered(overlay) if one["kind"] in kinds]


def pods(overlay: str) -> dict[str, Resource]:
    """The pod templates, by the name of the resource that has them."""
    return {one["metadata"]["name"]: one["spec"]["template"] for one in of_kind(overlay, "Deployment", "StatefulSet")}


def test_every_file_is_listed() -> None:
    """Each file of a folder is listed in its kustomization, and each listed file exists."""
    for kustomization in (ROOT / "deploy").rglob("kustomization.yaml"):
        listed = yaml.safe_load(kustomization.read_text())
        files = [
            *listed["resources"],
            *(file for one in listed.get("configMapGenerator", []) for file in one.get("files", [])),
        ]
        assert all((kustomization.parent / file).exists() for file in files)
        here = {path.name for path in kustomization.parent.iterdir() if path.is_file()} - {"kustomization.yaml"}
        assert here <= set(files)


def test_workers_of_another_model(tmp_path: Path) -> None:
    """The documented command makes workers of a further model of the shipped ones: valid, with names of their own
    wherever they are named, and with the model's name among their arguments.
    """
    command = re.search(
        r"```sh\ncd deploy/base\n(.*?)```", (ROOT / "docs" / "several-models.md").read_text(), re.DOTALL
    )
    assert command is not None
    shipped = (ROOT / "deploy" / "base" / "workers.yaml").read_text()
    (tmp_path / "workers.yaml").write_text(shipped)
    subprocess.run(["sh", "-ec", command[1]], cwd=tmp_path, check=True)
    made = list(yaml.safe_load_all((tmp_path / "workers-de.yaml").read_text()))
    named = json.loads(json.dumps(list(yaml.safe_load_all(shipped))).replace("worker-batch", "worker-batch-de"))
    named = json.loads(json.dumps(named).replace("worker-interactive", "worker-interactive-de"))
    for resource in named:
        if resource["kind"] == "Deployment":
            resource["spec"]["template"]["spec"]["containers"][0]["args"] += ["--model", "de"]
    assert made == named
    assert [one["metadata"]["name"] for one in made if one["kind"] == "Deployment"] == [
        *("worker-interactive-de", "worker-batch-de"),
    ]
    for resource in made:
        kubernetes_validate.validate(resource, VERSION, strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_valid(overlay: str) -> None:
    """Every resource fits Kubernetes' schemas, without unknown fields; KEDA's resources have their own test below."""
    for resource in rendered(overlay):
        if resource["kind"] != "ScaledObject":
            kubernetes_validate.validate(resource, VERSION, strict=True)
        if resource["kind"] != "Namespace":
            assert resource["metadata"]["namespace"] == "sentiq"
    assert not of_kind(overlay, "Secret"), "passwords are not for a repository"
    names = [(one["kind"], one["metadata"]["name"]) for one in rendered(overlay)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_are_confined(overlay: str) -> None:
    """Each pod meets the `restricted` standard, has requests and limits, an exact image, no token, and probes."""
    for name, template in pods(overlay).items():
        spec = template["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        context = spec["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] > 0
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        (container,) = spec["containers"]
        expected = {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["securityContext"] == expected
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        assert {"cpu", "memory"} <= set(container["resources"]["limits"])
        assert not container["image"].endswith(":latest")
        assert ":" in container["image"]
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container), name
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        claims = {
            claim["metadata"]["name"]
            for one in of_kind(overlay, "StatefulSet")
            if one["metadata"]["name"] == name
            for claim in one["spec"].get("volumeClaimTemplates", [])
        }
        assert mounted == {volume["name"] for volume in spec.get("volumes", [])} | claims


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_true_to_the_images(overlay: str) -> None:
    """User, ports, commands and folders are those of the Dockerfile; every variable that is set is a setting."""
    for name in ("web", "worker-interactive", "worker-batch"):
        template = pods(overlay)[name]
        (container,) = template["spec"]["containers"]
        image = "web" if name == "web" else "worker-gpu" if overlay == "gpu" else "worker"
        assert container["image"].rsplit("/", 1)[-1].split(":")[0] == f"sentiq-{image}"
        context = template["spec"]["securityContext"]
        assert f"{context['runAsUser']}:{context['runAsGroup']}" == last(image, "USER")
        ports = {str(port["containerPort"]) for port in container["ports"]}
        assert ports == set(last(image, "EXPOSE").split())
        assert template["metadata"]["annotations"]["prometheus.io/port"] == "9100"
        assert environment(image)["DATA_DIR"] in {mount["mountPath"] for mount in container["volumeMounts"]}
        assert {variable["name"] for variable in container["env"]} <= SETTINGS
        assert name != "web" or container["livenessProbe"]["httpGet"]["path"] == "/health/live"
        if name != "web":
            assert container["args"] == ["python", "-m", "tasks.worker", name.removeprefix("worker-")]
            assert container["livenessProbe"]["exec"]["command"] == ["python", "-m", "tasks.probe", "alive"]
            assert container["readinessProbe"]["exec"]["command"] == ["python", "-m", "tasks.probe", "ready"]
            threads = next(variable for variable in container["env"] if variable["name"] == "ENGINE_THREADS")
            assert threads["valueFrom"] == {"resourceFieldRef": {"resource": "limits.cpu"}}
    for config in of_kind(overlay, "ConfigMap"):
        if config["metadata"]["name"].startswith("sentiq-"):
            assert set(config["data"]) <= SETTINGS


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_selectors_find_pods(overlay: str) -> None:
    """Every selector of a service, a budget, a policy or a deployment finds a pod, which names every port."""
    labels = [template["metadata"]["labels"] for template in pods(overlay).values()]

    def found(selector: dict[str, str]) -> list[Resource]:
        return [
            template
            for template in pods(overlay).values()
            if selector.items() <= template["metadata"]["labels"].items()
        ]

    for service in of_kind(overlay, "Service"):
        (template,) = found(service["spec"]["selector"])
        names = {port["name"] for port in template["spec"]["containers"][0]["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= names
    for one in of_kind(overlay, "PodDisruptionBudget", "Deployment", "StatefulSet"):
        assert len(found(one["spec"]["selector"]["matchLabels"])) == 1
    (policy,) = of_kind(overlay, "NetworkPolicy")
    assert len(found(policy["spec"]["podSelector"]["matchLabels"])) == 2
    assert all(
        found(source["podSelector"]["matchLabels"]) for rule in policy["spec"]["ingress"] for source in rule["from"]
    )
    assert all(label["app.kubernetes.io/part-of"] == "sentiq" for label in labels)
    budgets = {one["metadata"]["name"] for one in of_kind(overlay, "PodDisruptionBudget")}
    assert budgets == {"web", "worker-interactive", "worker-batch"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_its_names_in_the_cluster_are_allowed(overlay: str) -> None:
    """Without API keys the web answers to every name that the cluster's DNS has for its Service."""
    (config,) = [one for one in of_kind(overlay, "ConfigMap") if one["metadata"]["name"].startswith("sentiq-")]
    (service,) = [one["metadata"] for one in of_kind(overlay, "Service") if one["metadata"]["name"] == "web"]
    name = f"{service['name']}.{service['namespace']}.svc.cluster.local"
    hosts = AllowedHosts(Settings.model_validate({"allowed_hosts": config["data"]["ALLOWED_HOSTS"]}).allowed_hosts)
    assert all(hosts.allow(name.removesuffix(end)) for end in ("", ".cluster.local", ".svc.cluster.local"))
    assert hosts.allow(service["name"])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_secrets_are_documented(overlay: str) -> None:
    """All pods read one Secret, and the command in docs/kubernetes.md makes exactly what they read."""
    used = {
        (variable["valueFrom"]["secretKeyRef"]["name"], variable["valueFrom"]["secretKeyRef"]["key"])
        for template in pods(overlay).values()
        for variable in template["spec"]["containers"][0]["env"]
        if "secretKeyRef" in variable.get("valueFrom", {})
    }
    told = set(re.findall(r"--from-literal=([A-Z_]+)=", (ROOT / "docs" / "kubernetes.md").read_text()))
    assert used == {("sentiq", key) for key in told}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_scaled_objects(overlay: str) -> None:
    """KEDA's resources have only fields that it documents, scale deployments that exist, never to zero, and query
    metrics that Sentiq serves.
    """
    served = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE))
    deployments = {one["metadata"]["name"]: one["spec"] for one in of_kind(overlay, "Deployment")}
    objects = of_kind(overlay, "ScaledObject")
    assert {one["spec"]["scaleTargetRef"]["name"] for one in objects} == {"worker-interactive", "worker-batch"}
    for one in objects:
        assert one["apiVersion"] == "keda.sh/v1alpha1"
        spec = one["spec"]
        assert set(spec) <= SCALED_OBJECT
        assert set(spec["scaleTargetRef"]) == {"name"}
        # Otherwise each apply would undo what the autoscaler has done.
        assert "replicas" not in deployments[spec["scaleTargetRef"]["name"]]
        assert 1 <= spec["minReplicaCount"] <= spec["maxReplicaCount"]
        assert set(spec["fallback"]) == {"failureThreshold", "replicas", "behavior"}
        assert spec["fallback"]["behavior"] in (
            "static",
            "currentReplicas",
            "currentReplicasIfHigher",
            "currentReplicasIfLower",
        )
        assert set(spec["advanced"]) == {"horizontalPodAutoscalerConfig"}
        # The rest is passed on to the HorizontalPodAutoscaler that KEDA makes.
        hpa = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "x"}}
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": spec["scaleTargetRef"]["name"]}
        behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        kubernetes_validate.validate(
            hpa | {"spec": {"scaleTargetRef": target, "maxReplicas": spec["maxReplicaCount"], "behavior": behavior}},
            VERSION,
            strict=True,
        )
        names = [trigger["name"] for trigger in spec["triggers"]]
        assert len(set(names)) == len(names)
        for trigger in spec["triggers"]:
            assert set(trigger) == TRIGGER
            assert trigger["type"] == "prometheus"
            assert trigger["metricType"] in ("Value", "AverageValue")
            assert set(trigger["metadata"]) == PROMETHEUS
            assert all(isinstance(value, str) for value in trigger["metadata"].values())
            assert float(trigger["metadata"]["threshold"]) > 0
            metrics = re.findall(r"sentiment_\w+", trigger["metadata"]["query"])
            assert metrics
            assert set(metrics) <= served
            role = spec["scaleTargetRef"]["name"].removeprefix("worker-")
            assert "{" not in trigger["metadata"]["query"] or role in trigger["metadata"]["query"]


def test_one_gpu_to_each_worker() -> None:
    """In the overlay for GPUs each worker has one GPU, in the other overlay none."""
    for overlay, count in (("gpu", 1), ("cpu", None)):
        for name in ("worker-interactive", "worker-batch"):
            (container,) = pods(overlay)[name]["spec"]["containers"]
            assert container["resources"]["limits"].get("nvidia.com/gpu") == count
            assert ({"name": "DEVICE", "value": "cuda:0"} in container["env"]) == bool(count)
        assert "nvidia.com/gpu" not in pods(overlay)["web"]["spec"]["containers"][0]["resources"]["limits"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_redis_reads_its_file(overlay: str) -> None:
    """Each Redis server reads its own file from the ConfigMap, and its maxmemory leaves room below the limit."""
    (config,) = [one for one in of_kind(overlay, "ConfigMap") if one["metadata"]["name"].startswith("redis-")]
    for part in ("cache", "broker"):
        spec = pods(overlay)[f"redis-{part}"]["spec"]
        (container,) = spec["containers"]
        assert f"valkey-server /etc/valkey/{part}.conf -" in container["command"][-1]
        assert config["data"][f"{part}.conf"] == (ROOT / "deploy" / "redis" / f"{part}.conf").read_text()
        assert {"name": "config", "configMap": {"name": config["metadata"]["name"]}} in spec["volumes"]
        units = {"mb": 20, "gb": 30, "Mi": 20, "Gi": 30}

        def size(text: str, units: dict[str, int] = units) -> int:
            return int(text[:-2]) << units[text[-2:]]

        found = re.search(r"^maxmemory (\w+)$", config["data"][f"{part}.conf"], re.MULTILINE)
        assert found is not None
        assert size(found[1]) < size(container["resources"]["limits"]["memory"])
