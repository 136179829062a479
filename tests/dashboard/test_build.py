"""The page that a team builds for its own Clerk and Convex."""

import os
import subprocess
from pathlib import Path

import pytest

from clerk_convex.local.convex.deployment import _node
from tests.support.functions import ROOT

PUBLIC = {
    "VITE_CONVEX_URL": "https://happy-animal-123.convex.cloud",
    "VITE_CLERK_PUBLISHABLE_KEY": "pk_live_Y2xlcmsuZXhhbXBsZS5jb20k",
}


def build(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    vite = ROOT / "node_modules" / "vite" / "bin" / "vite.js"
    return subprocess.run(
        [_node(), vite, "build", "examples/dashboard", "--outDir", folder, "--logLevel", "error"],
        cwd=ROOT,
        env={"PATH": os.defpath, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_page_knows_what_it_was_built_with(tmp_path: Path) -> None:
    """The deployment and the publishable key are in the page's script."""
    built = build(tmp_path / "out", **PUBLIC)
    assert built.returncode == 0, built.stderr
    scripts = "".join(file.read_text() for file in tmp_path.rglob("*.js"))
    assert all(value in scripts for value in PUBLIC.values())


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("VITE_CLERK_PUBLISHABLE_KEY", "sk_live_Q2xlcmtzT3duU2VjcmV0S2V5", "is a secret"),
        ("VITE_CLERK_SECRET_KEY", "sk_test_Q2xlcmtzT3duU2VjcmV0S2V5", "is a secret"),
        ("VITE_CONVEX_URL", "prod:happy-animal-123|eyJ2MiI6IjAifQ==", "is a secret"),
        ("VITE_CLERK_CONVEX_API", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "is a secret"),
        ("VITE_CLERK_PUBLISHABLE_KEY", "'pk_live_Y2xlcmsuZXhhbXBsZS5jb20k'", "is not a publishable key"),
        ("VITE_CLERK_PUBLISHABLE_KEY", "https://clerk.example.com", "is not a publishable key"),
    ],
)
def test_no_secret_gets_into_the_page(name: str, value: str, said: str, tmp_path: Path) -> None:
    """A secret in the wrong variable stops the build. The error does not quote it."""
    built = build(tmp_path / "out", **PUBLIC | {name: value})
    assert built.returncode != 0
    assert f"{name} {said}" in built.stderr
    assert value not in built.stdout + built.stderr
    assert not (tmp_path / "out").exists()
