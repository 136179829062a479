"""examples/container: what runs in the image works, as far as it can be tried without one."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml  # type: ignore[import-untyped]

from benchmarks.ports import free_port
from tests.hosts.test_hosts import EVENT, environ
from tests.support.functions import ROOT
from tests.support.stand_in import StandIn, after, sync
from tests.webhook.test_route import signed

HERE = ROOT / "examples/container"
DOCKERFILE = (HERE / "Dockerfile").read_text()
START = (HERE / "start").read_text()
COMPOSE = yaml.safe_load((HERE / "compose.yaml").read_text())
NOBODY = 65534
SCRIPT = "#!{python}\nimport sys\nfrom {module} import main\nsys.exit(main())\n"
DOCTOR = '#!/bin/sh\necho "$@" > {asked}\n[ "$1 $2" = "doctor --fast" ] || exit 64\nexit {status}\n'


@pytest.fixture(scope="module")
def image(wheel: Path) -> Iterator[Path]:
    """A folder like the image: /start, and /venv with the wheel. Every user can read it, and not write."""
    folder = Path(tempfile.mkdtemp())
    try:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
        python = folder / "venv/bin/python"
        pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index"]
        subprocess.run([*pip, str(wheel)], check=True, capture_output=True)
        # What the package needs is taken from where it is installed already.
        (site,) = folder.glob("venv/lib/python*/site-packages")
        (site / "needed.pth").write_text(sysconfig.get_path("purelib"))
        (folder / "venv/bin/uvicorn").write_text(SCRIPT.format(python=python, module="uvicorn.main"))
        (folder / "venv/bin/uvicorn").chmod(0o755)
        shutil.copy(HERE / "start", folder / "start")
        folder.chmod(0o755)
        yield folder
    finally:
        shutil.rmtree(folder)


@cache
def rights(image: Path) -> dict[str, Any]:
    """Return the arguments with which a process of the image starts as nobody, if that is possible here."""
    nobody: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    if os.getuid() != 0:
        return {}
    try:
        imports = [str(image / "venv/bin/python"), "-c", "import clerk_convex.app, uvicorn"]
        subprocess.run(imports, cwd="/", env={}, check=True, capture_output=True, **nobody)
    except (PermissionError, subprocess.CalledProcessError):
        return {}
    return nobody


@contextlib.contextmanager
def started(image: Path, settings: dict[str, str], *, doctor: int = 0) -> Iterator[subprocess.Popen[str]]:
    """Run /start as the container does: as a user without rights, in a folder where it may not write.

    A Python that is installed where only its owner may read, such as root's home, can run as its owner only.
    `clerk-convex doctor` is a stand-in that ends with the status `doctor`.
    """
    with tempfile.TemporaryDirectory() as programs:
        command = Path(programs, "clerk-convex")
        command.write_text(DOCTOR.format(asked="/dev/null", status=doctor))
        command.chmod(0o755)
        Path(programs).chmod(0o755)
        with subprocess.Popen(
            [image / "start"],
            cwd="/",
            env={
                "PATH": f"{programs}:{image / 'venv/bin'}:/usr/bin:/bin",
                "PYTHONUNBUFFERED": "1",
                "PYTHONDONTWRITEBYTECODE": "1",
                **settings,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # so that the end of the test also ends a server that is not exec'ed
            **rights(image),
        ) as process:
            try:
                yield process
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


def wait_until_up(url: str, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[0]
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/healthz", trust_env=False).status_code == 200:
                return
        time.sleep(0.05)
    raise TimeoutError


def test_start_serves_probes_and_stops_gracefully(image: Path, convex: StandIn) -> None:
    """As nobody: both probes and the health check pass, and SIGTERM waits for the event in progress."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    convex.behave(then=after(1.0, sync()))
    with started(image, {**environ(convex), "PORT": str(port)}) as process, ThreadPoolExecutor(1) as threads:
        wait_until_up(url, process)
        assert Path(f"/proc/{process.pid}").stat().st_uid == rights(image).get("user", os.getuid())
        ready = httpx.get(f"{url}/readyz", trust_env=False)
        assert (ready.status_code, ready.json()["status"]) == (200, "ready")
        check = re.search(r"HEALTHCHECK .*\\\n +CMD (\[.*\])", DOCKERFILE)
        assert check
        command = [part.replace("8000", str(port)) for part in yaml.safe_load(check[1])]
        health = [image / "venv/bin" / command[0], *command[1:]]
        assert subprocess.run(health, check=False).returncode == 0

        send = threads.submit(
            httpx.post,
            f"{url}/webhooks/clerk",
            content=EVENT,
            headers=signed(EVENT),
            timeout=60,
            trust_env=False,
        )
        convex.wait_for_calls(1)
        process.send_signal(signal.SIGTERM)
        answer = send.result(60)
        assert (answer.status_code, answer.json()) == (200, {"outcome": "created"})
        said, _ = process.communicate(timeout=60)
        # uvicorn ends by the signal that it got, which a container reports as 143.
        assert process.returncode in {0, -signal.SIGTERM}, said
        assert "Traceback" not in said, said
        assert subprocess.run(health, check=False, capture_output=True).returncode == 1


def test_start_ends_if_something_is_broken(image: Path, convex: StandIn) -> None:
    """With doctor's exit status, so that the platform shows it, and without a server."""
    with started(image, {**environ(convex), "PORT": str(free_port())}, doctor=2) as process:
        assert process.wait(60) == 2


def test_files_agree() -> None:
    """The image has no root, no floating tag and the files that it copies; times follow from each other."""
    tags = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(set(tags)) == 1
    assert re.fullmatch(r"python:3\.\d+-slim-[a-z]+", tags[0])
    user = re.findall(r"^USER (.*)$", DOCKERFILE, re.MULTILINE)
    assert user == ["10001"]
    assert f"--uid {user[0]} " in DOCKERFILE
    assert 'CMD ["/start"]' in DOCKERFILE
    assert os.access(HERE / "start", os.X_OK)
    waits = int(re.findall(r"--timeout-graceful-shutdown (\d+)", START)[0])
    service = COMPOSE["services"]["clerk-convex"]
    assert 10 < waits < int(service["stop_grace_period"].removesuffix("s"))
    exposed = re.findall(r"^EXPOSE (\d+)$", DOCKERFILE, re.MULTILINE)
    assert service["ports"] == [f"{exposed[0]}:{exposed[0]}"]
    assert f"${{PORT:-{exposed[0]}}}" in START
    extras = re.findall(r"\[([\w,]+)\]\"$", DOCKERFILE, re.MULTILINE)
    assert extras == ["server,redis,metrics"]


def test_kubernetes_waits_longer_than_the_server() -> None:
    """The deployment in the documentation agrees with the image: port, user, probes and times."""
    page = (ROOT / "docs/guides/replicas.md").read_text()
    (text,) = re.findall(r"```yaml\n(# deployment.yaml.*?)```", page, re.DOTALL)
    pod = yaml.safe_load(text)["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    waits = int(re.findall(r"--timeout-graceful-shutdown (\d+)", START)[0])
    pause = shlex.split(" ".join(container["lifecycle"]["preStop"]["exec"]["command"]))
    assert pause[0] == "sleep"
    assert pod["terminationGracePeriodSeconds"] > waits + int(pause[1])
    assert container["securityContext"]["runAsNonRoot"] is True
    assert "command" not in container  # the image's own: /start
    assert [port["containerPort"] for port in container["ports"]] == [8000]
