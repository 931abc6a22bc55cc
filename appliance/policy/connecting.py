"""What is typed on a machine so that it pulls through the box: exact lines, each with its undo.

Four ways, and each for every kind of machine that Ollama runs on. Whoever has the box's URL and
nothing else is connected by LINES_MAX lines at most, beside what a file is given.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

LINES_MAX = 5  # Of one kind of machine, by one way: what somebody types without losing the thread.
MODEL = "llama3.2"
CA_FILE = "ollama-appliance.crt"
# Go reads every file of this directory, beside the one bundle that it takes first.
_CA_MOUNT = f"/etc/ssl/certs/{CA_FILE}"
_SYSTEMS = (  # In this order: an iPad says Mac too, and all of these say nothing of Ollama's host.
    ("windows", "Windows NT"),
    ("other", "Android"),
    ("other", "iPhone"),
    ("other", "iPad"),
    ("macos", "Macintosh"),
    ("linux", "Linux"),
)


@dataclass(frozen=True, slots=True)
class Reach:
    """The box as one client reaches it.

    `thumbprint` is by what Windows names the CA. `blob_address` is "" where there is none.
    """

    url: str
    address: str
    registry: str
    blob_host: str
    blob_address: str
    fingerprint: str
    thumbprint: str
    proxy_url: str | None

    @property
    def name(self) -> str:
        """The box as a model's name has it in front."""
        return self.url.removeprefix("http://")

    @property
    def hosts(self) -> tuple[tuple[str, str], ...]:
        """Name and address of each host that a client must find at the box."""
        blobs = ((self.blob_host, self.blob_address),) if self.blob_address else ()
        return (self.registry, self.address), *blobs


@dataclass(frozen=True, slots=True)
class Steps:
    """What connects one kind of machine. `content` goes into `file` before the lines are typed."""

    key: str
    title: str
    lines: tuple[str, ...]
    undo: tuple[str, ...]
    note: str = ""
    file: str = ""
    content: tuple[str, ...] = ()


def guess_system(user_agent: str) -> str:
    """The kind of machine that a browser says it runs on: a key of Steps, or "other"."""
    return next((key for key, sign in _SYSTEMS if sign in user_agent), "other")


def list_direct(reach: Reach) -> Iterator[Steps]:
    """Nothing is set up: the model's name says where it is."""
    model = f"{reach.name}/library/{MODEL}"
    yield Steps("linux", "Ollama", (f"ollama pull --insecure {model}",), (f"ollama rm {model}",))
    yield Steps(
        "docker",
        "Docker",
        (f"docker exec ollama ollama pull --insecure {model}",),
        (f"docker exec ollama ollama rm {model}",),
        "For a container that is called ollama.",
    )
    yield Steps(
        "kubernetes",
        "Kubernetes",
        (f"kubectl exec deployment/ollama -- ollama pull --insecure {model}",),
        (f"kubectl exec deployment/ollama -- ollama rm {model}",),
        "For a deployment that is called ollama.",
    )


def list_hosts(reach: Reach) -> Iterator[Steps]:
    """One machine alone is led to the box, where the network's DNS does not do it."""
    yield Steps("linux", "Linux and macOS", (_shell(reach, "--hosts"),), (_shell(reach, "--undo"),))
    yield Steps(
        "windows",
        "Windows and WSL",
        (_powershell(reach, "-Hosts"),),
        (_powershell(reach, "-Undo"),),
        "In PowerShell, as administrator. WSL takes its hosts from Windows at its next start: "
        "wsl --shutdown.",
    )
    adds = " ".join(f"--add-host {name}:{address}" for name, address in reach.hosts)
    yield Steps("docker", "Docker", (_docker(adds),), _docker_undo())
    yield Steps(
        "compose",
        "Compose",
        ("docker compose up -d",),
        ("docker compose up -d",),
        "For a service that is called ollama. To undo it, take the lines out first.",
        "compose.yaml",
        (
            "services:",
            "  ollama:",
            "    extra_hosts:",
            *(f'      - "{name}:{address}"' for name, address in reach.hosts),
        ),
    )
    aliases = [{"ip": address, "hostnames": [name]} for name, address in reach.hosts]
    yield Steps(
        "kubernetes",
        "Kubernetes",
        (_patch({"hostAliases": aliases}),),
        ("kubectl rollout undo deployment ollama",),
        "For a deployment that is called ollama. Its pods start anew.",
    )


def list_trust(reach: Reach) -> Iterator[Steps]:
    """The machine trusts the box's CA; its DNS leads to the box."""
    return _list_trust(reach, None)


def list_proxy(reach: Reach) -> Iterator[Steps]:
    """The machine trusts the CA, and its Ollama has the box as its proxy."""
    if reach.proxy_url is not None:
        yield from _list_trust(reach, reach.proxy_url)


def _list_trust(reach: Reach, proxy: str | None) -> Iterator[Steps]:
    yield _by_script(reach, proxy)
    yield _linux_by_hand(reach, proxy)
    yield _docker_trusting(reach, proxy)
    yield _compose_trusting(reach, proxy)
    yield _kubernetes_trusting(reach, proxy)
    yield _wsl(reach, proxy)
    yield _macos_by_hand(reach, proxy)
    yield from _windows(reach, proxy)


# By the scripts that the box serves.


def _by_script(reach: Reach, proxy: str | None) -> Steps:
    options = "--trust --proxy" if proxy else "--trust"
    return Steps(
        "linux",
        "Linux, as a service; by the script",
        (_shell(reach, f"{options} --fingerprint SHA256:{reach.fingerprint}"),),
        (_shell(reach, "--undo"),),
        "It shows the fingerprint, asks, and restarts Ollama.",
    )


def _shell(reach: Reach, options: str) -> str:
    return f"curl -fsS {reach.url}/install.sh | sudo sh -s -- {options}"


def _powershell(reach: Reach, options: str) -> str:
    return f"& ([scriptblock]::Create((irm {reach.url}/install.ps1))) {options}"


# By hand.


def _linux_by_hand(reach: Reach, proxy: str | None) -> Steps:
    place = "/usr/local/share/ca-certificates/ollama-appliance.crt"
    drop_in = "/etc/systemd/system/ollama.service.d"
    lines: tuple[str, ...] = (
        f"curl -fsS {reach.url}/ca.pem | sudo tee {place} "
        "| openssl x509 -noout -fingerprint -sha256",
        "sudo update-ca-certificates && sudo systemctl restart ollama",
    )
    undo: tuple[str, ...] = (
        f"sudo rm {place}",
        "sudo update-ca-certificates --fresh && sudo systemctl restart ollama",
    )
    if proxy is not None:
        lines += (
            f"sudo mkdir -p {drop_in}",
            rf"printf '[Service]\nEnvironment=HTTPS_PROXY={proxy}\n' | sudo tee "
            f"{drop_in}/proxy.conf",
            "sudo systemctl daemon-reload && sudo systemctl restart ollama",
        )
        undo = (
            f"sudo rm {drop_in}/proxy.conf",
            "sudo systemctl daemon-reload && sudo systemctl restart ollama",
            *undo,
        )
    return Steps("linux-by-hand", "Linux, as a service; by hand", lines, undo)


def _macos_by_hand(reach: Reach, proxy: str | None) -> Steps:
    lines: tuple[str, ...] = (
        *_fetch_ca(reach),
        "sudo security add-trusted-cert -d -r trustRoot "
        f"-k /Library/Keychains/System.keychain {CA_FILE}",
    )
    undo: tuple[str, ...] = (f"sudo security remove-trusted-cert -d {CA_FILE}",)
    if proxy is not None:
        lines += (f"launchctl setenv HTTPS_PROXY {proxy}",)
        undo += ("launchctl unsetenv HTTPS_PROXY",)
    note = "Then quit Ollama and start it again; where it came by brew: brew services restart"
    note += " ollama."
    if proxy is not None:
        note += " The variable is gone after the next login, and is then set again."
    return Steps("macos", "macOS", lines, undo, note)


def _windows(reach: Reach, proxy: str | None) -> Iterator[Steps]:
    options = "-Trust -Proxy" if proxy else "-Trust"
    yield Steps(
        "windows",
        "Windows; by the script",
        (_powershell(reach, f"{options} -Fingerprint SHA256:{reach.fingerprint}"),),
        (_powershell(reach, "-Undo"),),
        "In PowerShell, as administrator. Then quit Ollama, from its icon beside the clock, and "
        "start it again.",
    )
    lines: tuple[str, ...] = (
        f"curl.exe -fsS -o ollama-appliance.der {reach.url}/ca.der",
        "certutil -hashfile ollama-appliance.der SHA256",
        "certutil -addstore -f Root ollama-appliance.der",
    )
    undo: tuple[str, ...] = (f"certutil -delstore Root {reach.thumbprint}",)
    if proxy is not None:
        lines += (f"setx HTTPS_PROXY {proxy}",)
        undo += (r"reg delete HKCU\Environment /v HTTPS_PROXY /f",)
    note = "As administrator; then quit Ollama, from its icon beside the clock, and start it again."
    yield Steps("windows-by-hand", "Windows; by hand", lines, undo, note)


def _wsl(reach: Reach, proxy: str | None) -> Steps:
    trust = _linux_by_hand(reach, None)
    restart = "wsl.exe --shutdown"
    lines: tuple[str, ...] = (trust.lines[0], "sudo update-ca-certificates", restart)
    undo = (trust.undo[0], "sudo update-ca-certificates --fresh", restart)
    note = "Where Ollama runs inside without systemd; with it, it is a Linux machine. "
    note += "Where the Windows app serves WSL too, it is that one that pulls: see Windows."
    if proxy is not None:
        lines += (f"HTTPS_PROXY={proxy} ollama serve",)
        note += " To undo the proxy, start it without the variable."
    return Steps("wsl", "WSL", lines, undo, note)


# Containers: the CA is a file beside the image's own bundle, so the host need not trust it.


def _fetch_ca(reach: Reach) -> tuple[str, str]:
    return (
        f"curl -fsS -o {CA_FILE} {reach.url}/ca.pem",
        f"openssl x509 -noout -fingerprint -sha256 -in {CA_FILE}",
    )


def _docker(options: str) -> str:
    common = "-v ollama:/root/.ollama -p 11434:11434 ollama/ollama"
    return f"docker run -d --name ollama {options} {common}"


def _docker_undo() -> tuple[str, ...]:
    return "docker rm -f ollama", _docker("").replace("  ", " ")


def _docker_trusting(reach: Reach, proxy: str | None) -> Steps:
    mount = f'-v "$PWD/{CA_FILE}:{_CA_MOUNT}:ro"'
    options = mount if proxy is None else f"-e HTTPS_PROXY={proxy} {mount}"
    note = "Models stay where they are, in the volume. Where a container of that name runs: docker"
    note += " rm -f ollama, first."
    return Steps("docker", "Docker", (*_fetch_ca(reach), _docker(options)), _docker_undo(), note)


def _compose_trusting(reach: Reach, proxy: str | None) -> Steps:
    variable = () if proxy is None else ("    environment:", f"      HTTPS_PROXY: {proxy}")
    return Steps(
        "compose",
        "Compose",
        (*_fetch_ca(reach), "docker compose up -d"),
        ("docker compose up -d",),
        "For a service that is called ollama. To undo it, take the lines out first.",
        "compose.yaml",
        (
            "services:",
            "  ollama:",
            *variable,
            "    volumes:",
            f"      - ./{CA_FILE}:{_CA_MOUNT}:ro",
        ),
    )


def _kubernetes_trusting(reach: Reach, proxy: str | None) -> Steps:
    mount = {"name": "ollama-appliance", "mountPath": _CA_MOUNT, "subPath": CA_FILE}
    container: dict[str, Any] = {"name": "ollama", "volumeMounts": [{**mount, "readOnly": True}]}
    if proxy is not None:
        container["env"] = [{"name": "HTTPS_PROXY", "value": proxy}]
    volume = {"name": "ollama-appliance", "configMap": {"name": "ollama-appliance"}}
    return Steps(
        "kubernetes",
        "Kubernetes",
        (
            *_fetch_ca(reach),
            f"kubectl create configmap ollama-appliance --from-file={CA_FILE}",
            _patch({"containers": [container], "volumes": [volume]}),
        ),
        (
            "kubectl rollout undo deployment ollama",
            "kubectl delete configmap ollama-appliance",
        ),
        "For a deployment and a container that are both called ollama. Its pods start anew.",
    )


def _patch(pod: dict[str, Any]) -> str:
    document = json.dumps({"spec": {"template": {"spec": pod}}}, separators=(",", ":"))
    return f"kubectl patch deployment ollama --patch '{document}'"
