"""Where the checks run: a deployment that is given by two variables, or a local Convex."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from clerk_convex.errors import SettingsError
from clerk_convex.local.convex import LocalConvex
from clerk_convex.settings import ConvexSettings, Settings
from tests.smoke.project import FUNCTIONS, ROOT, Signer, make_project

__all__ = ["Refused", "Target", "local", "remote"]

URL, KEY = "CONVEX_SELF_HOSTED_URL", "CONVEX_SELF_HOSTED_ADMIN_KEY"
CLI = (str(ROOT / "node_modules" / ".bin" / "convex"),)
DEPLOY_SECONDS, CLI_SECONDS = 600, 120


class Refused(Exception):
    """The checks cannot or must not run there. The text says why, and what to do."""


@dataclass(frozen=True)
class Target:
    """A deployment with the functions of `make_project`."""

    name: str
    url: str
    key: str = field(repr=False)
    signer: Signer
    silence: float
    """Seconds after which a backfill that was killed can be resumed."""
    is_local: bool


@contextmanager
def local() -> Iterator[Target]:
    """Run a local Convex. It loads the functions from the folder, so nothing is deployed."""
    signer, silence = Signer(), 0.2
    with tempfile.TemporaryDirectory() as folder:
        make_project(Path(folder), signer, silence=silence)
        with LocalConvex(project=Path(folder)) as convex:
            yield Target("local", convex.url, convex.deploy_key, signer, silence, is_local=True)


@contextmanager
def remote(environ: Mapping[str, str] = os.environ, cli: Sequence[str] = CLI) -> Iterator[Target]:
    """Deploy to the deployment that the environment names, and deploy again at the end, without smoke.ts.

    cli: the command line of Convex. Tests have another one.

    Raises Refused if a variable is missing or malformed, the deployment has rows or the functions of another
    project, or the functions cannot be deployed.
    """
    if missing := [name for name in (URL, KEY) if not environ.get(name)]:
        raise Refused(
            f"Not set: {', '.join(missing)}. Set the URL and an admin or deploy key of an empty deployment,"
            " or add --local."
        )
    try:
        settings = Settings(convex_url=environ[URL], convex_deploy_key=environ[KEY])  # type: ignore[arg-type]
        settings = settings.require(ConvexSettings)
    except SettingsError as error:
        text = str(error).replace("CONVEX_URL", URL).replace("CONVEX_DEPLOY_KEY", KEY)
        raise Refused(text) from None
    signer = Signer()
    convex = _Cli(cli, {URL: environ[URL], KEY: environ[KEY]})
    with tempfile.TemporaryDirectory() as folder:
        project, rest = Path(folder, "smoke"), Path(folder, "rest")
        make_project(project, signer)
        make_project(rest, None)
        _refuse_silence(str(settings.convex_url))
        convex.refuse_what_is_in_use(project)
        convex.run(project, "deploy", "--yes", seconds=DEPLOY_SECONDS)
        try:
            name = urlsplit(str(settings.convex_url)).hostname or ""
            yield Target(name, str(settings.convex_url), environ[KEY], signer, 60.0, is_local=False)
        finally:
            convex.run(rest, "deploy", "--yes", seconds=DEPLOY_SECONDS)


def _refuse_silence(url: str) -> None:
    """Raise Refused if nothing answers at the address: Convex's command line would try for minutes."""
    try:
        httpx.get(f"{url}/version", timeout=10, trust_env=False).raise_for_status()
    except httpx.HTTPError as error:
        raise Refused(
            f"No Convex deployment answers ({type(error).__name__}). Is {URL} its address, and is it up?"
        ) from None


class _Cli:
    """Convex's command line. Its output is quoted in errors, but for the key."""

    def __init__(self, command: Sequence[str], variables: Mapping[str, str]) -> None:
        self._command = command
        # CONVEX_DEPLOY_KEY and CONVEX_DEPLOYMENT of a team's own would name another deployment.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CONVEX_")}
        self._environment = {**kept, **variables, "CI": "1"}

    def refuse_what_is_in_use(self, folder: Path) -> None:
        """Raise Refused if a table has a row, or if a function is of another project."""
        for table in self.run(folder, "data").split():
            if self.run(folder, "data", table, "--limit", "1", "--format", "jsonLines").strip():
                raise Refused(
                    f"The deployment has rows in {table}. The checks write and delete users, so they need an"
                    " empty deployment: make a new one, or clear this one in the dashboard."
                )
        spec = self.run(folder, "function-spec")
        others = sorted(module for module in _modules(spec) if module not in FUNCTIONS)
        if others:
            raise Refused(
                f"The deployment has functions of another project ({', '.join(others[:5])}), which a deploy"
                " would remove. Make a new deployment for the checks."
            )

    def run(self, folder: Path, *arguments: str, seconds: float | None = None) -> str:
        """Run a command in a project and return its output. Raise Refused if it fails."""
        what = f"npx convex {arguments[0]}"
        seconds = seconds or CLI_SECONDS
        try:
            ran = subprocess.run(
                [*self._command, *arguments],
                cwd=folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
            )
        except FileNotFoundError:
            raise Refused(f"{self._command[0]} is missing. Run scripts/install.") from None
        except subprocess.TimeoutExpired:
            raise Refused(f"{what} did not end within {seconds:.0f} s. Is {URL} the address?") from None
        if ran.returncode != 0:
            said = " ".join(ran.stderr.replace(self._environment[KEY], "***").split()) or "it said nothing"
            raise Refused(f"{what} failed: {said[-1000:]}")
        return ran.stdout


def _modules(spec: str) -> set[str]:
    """Return the modules in the output of `convex function-spec`, a JSON object."""
    functions = json.loads(spec).get("functions", [])
    return {it["identifier"].partition(":")[0].removesuffix(".js") for it in functions if "identifier" in it}
