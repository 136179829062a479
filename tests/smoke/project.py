"""The Convex project that scripts/smoke deploys: this project's functions, and those of smoke.ts.

Its auth.config.ts accepts tokens that `Signer` signs: the public key is in the file, as a `data:` URL. So the
checks need no Clerk instance.
"""

from __future__ import annotations

import base64
import json
import secrets
import shutil
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from jwt.algorithms import RSAAlgorithm

__all__ = ["FUNCTIONS", "ROOT", "Signer", "make_project"]

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
FUNCTIONS = {"users", "smoke"}
"""The modules with functions that a deployment has after a run."""

SCHEMA = """
import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";
import { clerkTables } from "./clerk/tables";

export default defineSchema({ ...clerkTables, smokeTicks: defineTable({ ticked: v.boolean() }) });
"""
CRON = 'crons.interval("smoke", { seconds: 1 }, internal.smoke.tick, {});'
AUTH = "export default {{ providers: {} }};\n"
PACKAGE = {"name": "clerk-convex-smoke", "private": True, "type": "module"}


class Signer:
    """Sign session tokens with a key of its own."""

    def __init__(self) -> None:
        self.issuer = "https://smoke.clerk-convex.invalid"
        self.key_id = secrets.token_hex(8)
        self._key = generate_private_key(public_exponent=65537, key_size=2048)

    def provider(self) -> dict[str, str]:
        """Return the provider for auth.config.ts."""
        public = RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        jwk = {"use": "sig", "alg": "RS256", "kid": self.key_id, **{k: public[k] for k in ("kty", "n", "e")}}
        text = base64.b64encode(json.dumps({"keys": [jwk]}).encode()).decode()
        return {
            "type": "customJwt",
            "issuer": self.issuer,
            "applicationID": "convex",
            "algorithm": "RS256",
            "jwks": f"data:text/plain;charset=utf-8;base64,{text}",
        }

    def token(self, clerk_id: str, **claims: Any) -> str:
        """Return the token of a user, valid for an hour. `claims` replace the usual ones."""
        now = int(time.time())
        usual = {"sub": clerk_id, "iss": self.issuer, "aud": "convex", "iat": now, "exp": now + 3600}
        return jwt.encode({**usual, **claims}, self._key, "RS256", headers={"kid": self.key_id})


def make_project(folder: Path, signer: Signer | None, *, silence: float | None = None) -> None:
    """Write the project into an empty folder.

    signer: whose tokens are accepted. None leaves smoke.ts and its cron out too: what stays deployed.
    silence: seconds after which a backfill that says nothing can be resumed. None keeps the minute.
    """
    convex = folder / "convex"
    shutil.copytree(ROOT / "convex", convex)
    (folder / "node_modules").symlink_to(ROOT / "node_modules")
    versions = json.loads((ROOT / "package.json").read_text())["devDependencies"]
    package = {**PACKAGE, "dependencies": {"convex": versions["convex"]}}
    (folder / "package.json").write_text(json.dumps(package))
    if signer is None:
        (convex / "auth.config.ts").write_text(AUTH.format("[]"))
        (convex / "schema.ts").write_text(SCHEMA)
        return
    (convex / "auth.config.ts").write_text(AUTH.format(json.dumps([signer.provider()], indent=2)))
    (convex / "schema.ts").write_text(SCHEMA)
    shutil.copy(HERE / "smoke.ts", convex / "smoke.ts")
    end = "export default crons;"
    _replace(convex / "crons.ts", end, f"{CRON}\n{end}")
    _replace(
        convex / "crons.ts",
        'from "convex/server";',
        'from "convex/server";\nimport { internal } from "./_generated/api";',
    )
    if silence is not None:
        runs = convex / "clerk/backfill/runs.ts"
        _replace(runs, "const SILENT_MS = 60 * 1000", f"const SILENT_MS = {silence} * 1000")


def _replace(file: Path, text: str, instead: str) -> None:
    content = file.read_text()
    if content.count(text) != 1:
        raise AssertionError(f"{file} does not have {text!r} once: follow it in {__name__}.")
    file.write_text(content.replace(text, instead))
