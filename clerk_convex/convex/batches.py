"""Writes a batch of changes, and finds the changes of it that Convex refuses.

A mutation is a transaction, so that one bad change makes Convex refuse the whole batch. Hosted Convex may
hide from its clients why a function fails ("Server Error" is all they read). The reason is therefore found by
further calls: an empty one, one with an example of each change, the version of the functions, halves of the
batch, one column at a time.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import TypeGuard

from convex.values import ConvexValue

from clerk_convex import __version__
from clerk_convex.convex.client import CallRefused, FunctionMissing, Kind
from clerk_convex.convex.functions import to_about
from clerk_convex.convex.queue import Batch, answer_all
from clerk_convex.entities.changes import OUTCOMES, Change, Delete, Outcome, SignIn, Upsert, encode
from clerk_convex.entities.users import COLUMNS
from clerk_convex.errors import DeploymentError, DeploymentMisconfigured, DeploymentUnavailable
from clerk_convex.net.observer import Observer

__all__ = ["BatchWriter"]

Call = Callable[[Kind, str, bytes], Awaitable[ConvexValue]]
"""Calls a function of the module on encoded arguments. Raises DeploymentError."""

_MAX_CALLS = 32  # for one batch; finding one bad change among 500 takes 23 at most
_MAX_PROBES = 16  # columns of a team of which it is found out whether they are refused

_OTHER_VERSION = (
    "The functions in Convex are of another version: deploy those in convex/ (npx convex deploy)."
)
_CANNOT_RUN = (
    "Convex refuses even an empty call of {function}: CONVEX_DEPLOY_KEY lacks the permission for it, or the"
    " function fails. Make a key in the dashboard that may run internal mutations and internal queries. If it"
    " may, the deployment's log in the dashboard says more."
)

_REQUIRES = (
    "CLERK_CONVEX_FIELDS must return each of requiredExtraColumns in columns.ts for every user, with a value"
    " of its type."
)

# A change of each type with all of its fields. Functions of another version may refuse them, and so do those
# of a team with required columns, which they lack. They are only compared, never written.
_EXAMPLES: tuple[Change, ...] = (
    Upsert(
        "example",
        0.0,
        0.0,
        dict.fromkeys(COLUMNS) | {"status": "active", "createdAt": 0.0},
        "webhook",
        "",
        "",
    ),
    Delete("example", 0.0, "webhook", "", ""),
    SignIn("example", 0.0, "webhook", ""),
)


class BatchWriter:
    """Writes batches with `<module>:syncUsers`; with `dry_run` it asks `<module>:compareUsers` instead."""

    def __init__(self, call: Call, observer: Observer, *, module: str, dry_run: bool) -> None:
        self._call = call
        self._observer = observer
        self._module = module
        self._dry_run = dry_run

    async def check(self) -> bool:
        """Check that the functions are those of this version and can be called. Writes nothing.

        Returns whether they require columns of the team. Raises DeploymentMisconfigured, and
        DeploymentUnavailable.
        """
        if not self._dry_run:
            await self._check_call("mutation", "syncUsers")
        try:
            await self._call("query", "compareUsers", _arguments(map(encode, _EXAMPLES)))
        except CallRefused:
            pass
        else:
            return False
        await self._check_call("query", "compareUsers")
        if not await self._are_ours():
            raise DeploymentMisconfigured(_OTHER_VERSION)
        return True

    async def write(self, parts: list[Batch]) -> None:
        """Write the batches in `parts` and answer their changes.

        A batch that is refused is halved, until the refused changes are alone. `parts` is a stack, the next
        batch last: after an error it holds what is not answered yet.

        Raises DeploymentMisconfigured if the functions, and not the changes, are the reason of a refusal; and
        DeploymentUnavailable.
        """
        calls, requires = 0, False
        while parts:
            part = parts[-1] = {answer: it for answer, it in parts[-1].items() if not answer.done()}
            if not part:
                parts.pop()
                continue
            if calls >= _MAX_CALLS:
                error = DeploymentUnavailable("Convex refused too many changes of the same batch.")
                for rest in parts:
                    answer_all(rest, error)
                return
            calls += 1
            refusal = await self._sync(part)
            if refusal is not None and calls == 1:
                requires = await self.check()
                calls += 4 if requires else 2
            parts.pop()
            if refusal is None:
                continue
            if len(part) == 1:
                (encoded,) = part.values()
                answer_all(part, await self._explain(encoded, refusal, requires))
            else:
                parts += reversed(_halves(part))

    async def _sync(self, part: Batch) -> CallRefused | None:
        """Write the changes and answer them, or return the refusal."""
        arguments = _arguments(part.values())
        time = asyncio.get_running_loop().time
        started = time()
        try:
            if self._dry_run:
                outcomes = await self._call("query", "compareUsers", arguments)
            else:
                outcomes = await self._call("mutation", "syncUsers", arguments)
                self._observer.batch_written(len(part), time() - started)
        except CallRefused as refusal:
            return refusal
        if not _are_outcomes(outcomes, len(part)):
            raise DeploymentMisconfigured(_OTHER_VERSION)
        for answer, outcome in zip(part, outcomes, strict=True):
            if not answer.done():
                answer.set_result(outcome)
        return None

    async def _check_call(self, kind: Kind, function: str) -> None:
        """Raise DeploymentMisconfigured if the function refuses an empty list, which any version accepts."""
        try:
            await self._call(kind, function, _arguments([]))
        except CallRefused as refusal:
            text = _OTHER_VERSION if refusal.is_validation else _CANNOT_RUN
        else:
            return
        raise DeploymentMisconfigured(text.format(function=f"{self._module}:{function}"))

    async def _are_ours(self) -> bool:
        """Return whether the functions say that they are of this version and have its columns."""
        try:
            about = to_about(await self._call("query", "about", b"{}"))
        except (FunctionMissing, CallRefused):
            return False
        return about is not None and about.version == __version__ and about.columns >= COLUMNS

    async def _explain(self, encoded: bytes, refusal: CallRefused, requires: bool) -> CallRefused:
        """Return the refusal of a change, with the names of the team's columns that Convex refuses, if any.

        Each column is tried without the others of the team. If Convex `requires` some of them, each is left
        out of the whole change instead, which finds a column if it is the only one that is refused.
        """
        change = json.loads(encoded)
        columns = change.get("columns", {})
        theirs = [name for name in columns if name not in COLUMNS]

        async def refuses(kept: Collection[str]) -> bool:
            """Return whether Convex refuses the change with only these of the team's columns."""
            values = {name: value for name, value in columns.items() if name in COLUMNS or name in kept}
            probe = json.dumps({**change, "columns": values}).encode()
            try:
                await self._call("query", "compareUsers", _arguments([probe]))
            except CallRefused:
                return True
            return False

        refused: list[str] = []
        try:
            if requires and (not columns or not await refuses(theirs)):
                return refusal  # it is not for a column
            for name in theirs[:_MAX_PROBES]:
                kept = [other for other in theirs if other != name] if requires else [name]
                if await refuses(kept) is not requires:
                    refused.append(f"{name!r:.100}")
        except DeploymentError:
            requires = False  # not known any more
        if refused:
            reason = (
                f"CLERK_CONVEX_FIELDS returns {', '.join(refused)}: columns.ts lacks it, or has another type"
                " for it."
            )
        elif requires:
            reason = _REQUIRES
        else:
            return refusal
        return CallRefused(f"{refusal} {reason}", refusal.data, is_validation=refusal.is_validation)


def _arguments(changes: Iterable[bytes]) -> bytes:
    return b'{"changes":[%b]}' % b",".join(changes)


def _halves(batch: Batch) -> tuple[Batch, Batch]:
    items = list(batch.items())
    middle = len(items) // 2
    return dict(items[:middle]), dict(items[middle:])


def _are_outcomes(value: ConvexValue, count: int) -> TypeGuard[list[Outcome]]:
    return (
        isinstance(value, list)
        and len(value) == count
        and all(isinstance(outcome, str) and outcome in OUTCOMES for outcome in value)
    )
