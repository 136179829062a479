from __future__ import annotations

import json
import os
import socket
import stat
from pathlib import Path

import pytest

from clerk_convex.errors import LocalError
from clerk_convex.local.kept import Kept, kept


def ports(mine: Kept) -> list[int]:
    return [mine.port, mine.convex_port, mine.clerk_port]


def test_a_folder_keeps_its_ports_and_keys(tmp_path: Path) -> None:
    """From run to run, unlike another folder's; for its owner only, and not for git."""
    said: list[str] = []
    with kept(tmp_path, said.append) as first:
        assert len({0, *ports(first)}) == 4
    with kept(tmp_path, said.append) as again:
        assert again == first
    (tmp_path / "other").mkdir()
    with kept(tmp_path / "other", said.append) as other:
        assert not {*ports(other), other.deploy_key} & {*ports(first), first.deploy_key}
    assert said == []
    file = tmp_path / ".clerk-convex" / "local.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert (file.parent / ".gitignore").read_text() == "*\n"
    keys = (first.deploy_key, first.secret_key, first.webhook_secret)
    assert [key.partition("_")[0].partition("|")[0] for key in keys] == ["local", "sk", "whsec"]


def test_a_second_set_gets_others(tmp_path: Path) -> None:
    """At the same time in the same folder: free ports, other keys, and a line that says so."""
    said: list[str] = []
    with kept(tmp_path, said.append) as first:
        with kept(tmp_path, said.append) as second:
            assert ports(second) == [0, 0, 0]
            assert second.deploy_key != first.deploy_key
        assert said == ["Another set of this folder is up: this one has ports and keys of its own."]
    with kept(tmp_path, said.append) as again:
        assert again == first


def test_a_port_that_is_in_use_is_said(tmp_path: Path) -> None:
    """This run has another one, and the next has its own again."""
    said: list[str] = []
    with kept(tmp_path, said.append) as first:
        pass
    with (
        socket.create_server(("127.0.0.1", first.convex_port)),
        kept(tmp_path, said.append) as meanwhile,
    ):
        assert ports(meanwhile) == [first.port, 0, first.clerk_port]
        assert meanwhile.deploy_key == first.deploy_key
    (line,) = said
    assert line.startswith(f"Port {first.convex_port}, which this folder's set had before, is in use")
    with kept(tmp_path, said.append) as again:
        assert again == first


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"port": "1"}', "wrong type"])
def test_a_damaged_file_is_named(text: str, tmp_path: Path) -> None:
    """In one line that says to delete it and quotes nothing of it."""
    with kept(tmp_path, lambda line: None):
        pass
    file = tmp_path / ".clerk-convex" / "local.json"
    if text == "wrong type":
        text = json.dumps(json.loads(file.read_text()) | {"port": "1"})
    file.write_text(text)
    with pytest.raises(LocalError, match=r"^.*local\.json is damaged: delete it, .*$"), kept(tmp_path, print):
        pass


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is no reason not to start: the set has ports and keys of its own, and says why."""
    said: list[str] = []
    (tmp_path / ".clerk-convex").touch()
    with kept(tmp_path, said.append) as mine:
        assert ports(mine) == [0, 0, 0]
    (line,) = said
    assert "local.json cannot be written (File exists): this run has" in line
    assert os.listdir(tmp_path) == [".clerk-convex"]  # noqa: PTH208
