"""The manifests, the waxctl values and the compose file agree with each other and the settings."""

import json
import re
import shutil
import subprocess
from typing import Any, Final

import pytest
import yaml

from flows.settings.load import load_settings
from tests.integration.job import ROOT

KUBERNETES: Final = ROOT / "deploy" / "kubernetes"
WAXCTL: Final = ROOT / "deploy" / "waxctl"
LABEL: Final = {"app.kubernetes.io/instance": "dedup"}
BYTEWAX: Final = {
    "BYTEWAX_POD_NAME",
    "BYTEWAX_STATEFULSET_NAME",
    "BYTEWAX_HOSTFILE_PATH",
    "BYTEWAX_RECOVERY_DIRECTORY",
    "BYTEWAX_SNAPSHOT_INTERVAL",
    "BYTEWAX_RECOVERY_BACKUP_INTERVAL",
}


def document(name: str, kind: str) -> dict[str, Any]:
    found: dict[str, Any]
    [found] = [
        one
        for one in yaml.safe_load_all((KUBERNETES / name).read_text("utf-8"))
        if one["kind"] == kind
    ]
    return found


def env_file() -> dict[str, str]:
    lines = (KUBERNETES / "settings.env").read_text("utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


STATEFUL_SET: Final = document("statefulset.yaml", "StatefulSet")
SPEC: Final = STATEFUL_SET["spec"]
POD: Final = SPEC["template"]["spec"]
[CONTAINER] = POD["containers"]
SERVICE: Final = document("services.yaml", "Service")
VARIABLES: Final = {one["name"]: one.get("value") for one in CONTAINER["env"]}


def test_the_settings_are_settings() -> None:
    secrets = yaml.safe_load_all((KUBERNETES / "secret.example.yaml").read_text("utf-8"))
    secret = next(one for one in secrets if one["metadata"]["name"] == "dedup-kafka")

    settings = load_settings(env_file() | secret["stringData"])

    assert settings.metrics_port == 9400
    mounts = {mount["mountPath"] for mount in CONTAINER["volumeMounts"]}
    location = str(settings.kafka["ssl.ca.location"])
    assert any(location.startswith(f"{mount}/") for mount in mounts)
    assert not [name for name in VARIABLES if name.startswith("DEDUP_")]


def test_each_pod_has_its_line_and_its_name_is_what_the_service_makes_of_it() -> None:
    hosts = (KUBERNETES / "hosts.txt").read_text("utf-8").split()
    name, service = STATEFUL_SET["metadata"]["name"], SERVICE["metadata"]["name"]
    [port] = [one["port"] for one in SERVICE["spec"]["ports"] if one["name"] == "cluster"]

    assert hosts == [f"{name}-{number}.{service}:{port}" for number in range(SPEC["replicas"])]
    assert SPEC["serviceName"] == service
    assert SERVICE["spec"]["clusterIP"] == "None"
    assert SERVICE["spec"]["publishNotReadyAddresses"]
    assert port in [one["containerPort"] for one in CONTAINER["ports"]]
    assert len(hosts) <= load_settings(env_file()).lanes


def test_bytewax_is_told_who_it_is() -> None:
    assert VARIABLES.keys() == BYTEWAX
    assert VARIABLES["BYTEWAX_STATEFULSET_NAME"] == STATEFUL_SET["metadata"]["name"]
    mounted = {mount["name"]: mount["mountPath"] for mount in CONTAINER["volumeMounts"]}
    assert VARIABLES["BYTEWAX_HOSTFILE_PATH"] == f"{mounted['hosts']}/hosts.txt"
    assert str(VARIABLES["BYTEWAX_RECOVERY_DIRECTORY"]).startswith(f"{mounted['data']}/")
    [claim] = SPEC["volumeClaimTemplates"]
    volumes = {volume["name"] for volume in POD["volumes"]} | {claim["metadata"]["name"]}
    assert mounted.keys() == volumes


def test_labels_select_what_they_mean() -> None:
    labels = SPEC["template"]["metadata"]["labels"]
    budget = document("disruption-budget.yaml", "PodDisruptionBudget")
    [rule] = POD["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    for selector in (
        SPEC["selector"]["matchLabels"],
        SERVICE["spec"]["selector"],
        budget["spec"]["selector"]["matchLabels"],
        rule["podAffinityTerm"]["labelSelector"]["matchLabels"],
    ):
        assert selector == LABEL
        assert selector.items() <= labels.items()


def test_a_pod_may_do_little_and_ends_in_time() -> None:
    assert POD["enableServiceLinks"] is False  # DEDUP_SERVICE_HOST would be an unknown setting
    assert POD["automountServiceAccountToken"] is False
    assert POD["securityContext"]["runAsNonRoot"]
    assert CONTAINER["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert POD["terminationGracePeriodSeconds"] >= 10 + 2
    assert CONTAINER["resources"]["requests"].keys() == {"cpu", "memory"}


def test_probes_ask_the_port_of_the_pod() -> None:
    for probe, path in (
        ("startupProbe", "livez"),
        ("livenessProbe", "livez"),
        ("readinessProbe", "readyz"),
    ):
        shell, option, command = CONTAINER[probe]["exec"]["command"]
        assert (shell, option) == ("sh", "-c")
        answer = subprocess.run(
            [shell, option, command.replace("python /app/probe.py", "echo")],
            env={"DEDUP_METRICS_PORT": "9400", "BYTEWAX_POD_NAME": "dedup-12"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert answer.stdout == f"http://localhost:9412/{path}\n"


def test_kustomize_takes_it() -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("install kubectl: its kustomize builds the manifests")
    command = ["kubectl", "kustomize", str(KUBERNETES)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    kinds = [one["kind"] for one in yaml.safe_load_all(answer.stdout)]
    assert sorted(kinds) == [
        *("ConfigMap", "ConfigMap", "PodDisruptionBudget", "Service", "StatefulSet")
    ]


def test_waxctl_gets_settings_and_a_name_that_is_no_setting() -> None:
    text = (WAXCTL / "values.yaml").read_text("utf-8")
    environment = yaml.safe_load(text)["env"]
    load_settings({name: one for name, one in environment.items() if name.startswith("DEDUP_")})

    command = re.sub(r"[#\\\n]+", " ", text[: text.index("--yes") + len("--yes")])
    options = dict(re.findall(r"--([a-z-]+) ([^\s-]\S*)", command))
    assert not options["name"].upper().replace("-", "_").startswith("DEDUP_")
    assert options["name"] != "dedup"
    assert options["recovery-parts"] == options["processes"]
    assert (ROOT / options["chart-values-file"]).is_file()
    assert (WAXCTL / "dedup.py").is_file()
    assert json.dumps(command).count("deploy/waxctl/dedup.py") == 1
