from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest

from clerk_convex.errors import LocalError
from clerk_convex.local.env_file import EnvFile


def test_the_file_exists_while_the_set_runs(tmp_path: Path) -> None:
    """The file appears when it is written, is readable only by its owner, and is removed at the end."""
    path = tmp_path / ".env.local"
    with EnvFile(path) as file:
        assert list(tmp_path.iterdir()) == []
        file.write({"CONVEX_URL": "http://127.0.0.1:1"})
        assert list(tmp_path.iterdir()) == [path]
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.read_text().splitlines()[1:] == ["CONVEX_URL=http://127.0.0.1:1"]
    assert list(tmp_path.iterdir()) == []


def test_a_shell_can_read_it(tmp_path: Path) -> None:
    """A shell reads any value unchanged."""
    path = tmp_path / "env"
    values = {"KEY": "local|a b$HOME'\"`", "PLAIN": "whsec_a+b/c="}
    with EnvFile(path) as file:
        file.write(values)
        script = '. ./env; printf \'%s\\n\' "$KEY" "$PLAIN"'
        done = subprocess.run(
            ["/bin/sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines() == [values["KEY"], values["PLAIN"]]
        assert "PLAIN=whsec_a+b/c=\n" in path.read_text()


def test_another_file_is_not_overwritten(tmp_path: Path) -> None:
    """An existing file, also one created in the meantime, is an error and stays as it is."""
    path = tmp_path / ".env"
    path.write_text("MINE=1\n")
    with pytest.raises(LocalError, match=r"\.env exists already and is not overwritten"), EnvFile(path):
        pass
    path.unlink()
    with EnvFile(path) as file:
        path.write_text("MINE=2\n")
        with pytest.raises(LocalError, match="exists already"):
            file.write({"CONVEX_URL": "http://127.0.0.1:1"})
    assert path.read_text() == "MINE=2\n"


def test_links_and_directories_are_other_files(tmp_path: Path) -> None:
    """Neither a directory nor a broken link is replaced."""
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "directory").mkdir()
    for name in ("link", "directory"):
        with pytest.raises(LocalError, match="exists already"), EnvFile(tmp_path / name):
            pass
    assert (tmp_path / "link").is_symlink()


def test_an_unwritable_file_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing directory, or a failure while writing, is one line, and no draft is left."""
    with EnvFile(tmp_path / "missing" / ".env") as file, pytest.raises(LocalError) as caught:
        file.write({"A": "1"})
    assert "(No such file or directory): name another file with --env-file" in str(caught.value)

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with EnvFile(tmp_path / ".env") as file, pytest.raises(LocalError, match="No space left"):
        file.write({"A": "1"})
    assert list(tmp_path.iterdir()) == []


def test_a_replaced_file_is_not_removed(tmp_path: Path) -> None:
    """At the end only the file that was written is removed, and not one that took its place."""
    path = tmp_path / ".env"
    for text in (b"ANOTHER=1\n", b"\xff"):
        with EnvFile(path) as file:
            file.write({"A": "1"})
            path.write_bytes(text)
        assert path.read_bytes() == text
        path.unlink()
    with EnvFile(path) as file:
        file.write({"A": "1"})
        path.unlink()
