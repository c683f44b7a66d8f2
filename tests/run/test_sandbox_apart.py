"""One folder is a sandbox's or the service's, and never both: no sound of a sandbox counts as a real one."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kling_batch.cli import main

COMMANDS = ("run", "plan", "status", "report", "restore")
Filled = Callable[..., Path]
ONE = ("--select", "door:1")


@pytest.fixture
def filled(tavern: Any) -> Filled:
    """Fill a folder by a run with these options, and name it."""

    def fill(*options: str) -> Path:
        assert tavern.run("--out", "sounds", "--no-store", *ONE, *options) == 0
        return Path("sounds")

    return fill


def everything_in(folder: Path) -> dict[str, bytes]:
    """Read every file that a person would see, and the journal."""
    files = [path for path in folder.rglob("*") if path.is_file() and not re.search(r"-(wal|shm)$|hold", path.name)]
    return {path.as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize(("made_by", "made_with"), [("a sandbox", ("--sandbox",)), ("a service", ())])
def test_a_folder_of_the_other_kind_is_refused(
    tavern: Any, serve: Any, filled: Filled, capsys: pytest.CaptureFixture[str], made_by: str, made_with: Any
) -> None:
    """Every command that goes by the journal says whose folder it is and what to do, and leaves it as it is."""
    server = serve()
    folder = filled(*made_with)
    before, asked = everything_in(folder), server.world.ledger.api_requests
    other = () if made_with else ("--sandbox",)
    for command in COMMANDS:
        capsys.readouterr()
        consent = ["--yes"] if command == "run" else []
        assert main([command, str(tavern.manifest), "--out", str(folder), *other, *consent]) == 2
        said = capsys.readouterr().err
        assert f"sounds holds what {made_by} made" in said
        assert "--out" in said
    assert everything_in(folder) == before
    assert server.world.ledger.api_requests == asked


def test_a_sandboxs_sounds_verify_as_nobodys(
    tavern: Any, serve: Any, filled: Filled, capsys: pytest.CaptureFixture[str]
) -> None:
    """`verify` goes by the lock, which has none of them."""
    serve()
    folder = filled("--sandbox")
    capsys.readouterr()
    assert main(["verify", str(tavern.manifest), "--out", str(folder)]) == 3
    assert "unlocked" in capsys.readouterr().out


@pytest.mark.parametrize("options", [(), ("--sandbox",)])
def test_a_folder_of_the_same_kind_is_gone_on_with(tavern: Any, serve: Any, filled: Filled, options: Any) -> None:
    """A second run there finds everything in place."""
    serve()
    filled(*options)
    assert {take["origin"] for take in tavern.report(filled(*options))["takes"]} == {"kept"}
