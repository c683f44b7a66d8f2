"""`kling-batch init`, as a new user tries it."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from kling_batch import __version__, resources
from kling_batch.cli import main
from kling_batch.cli.commands.init import IGNORED, MANIFEST, SCHEMA, WORKFLOW, spec_of

WHEEL = "./wheels/kling_batch-0.1.0-py3-none-any.whl"
CLONE = "kling-batch[s3] @ git+https://a.example/b@v1"
WRITTEN = {MANIFEST, SCHEMA, WORKFLOW, ".gitignore", ".gitattributes"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, entered."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_a_new_user_gets_sounds(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """init, validate, plan and a sandbox run end well, one after the other, without keys."""
    for command in (["init"], ["validate", MANIFEST], ["plan", MANIFEST], ["run", MANIFEST, "--sandbox"]):
        assert main(command) == 0, capsys.readouterr().err
    report = json.loads((folder / "out/sounds.sandbox/report.json").read_text())
    assert report["summary"]["succeeded"] == report["summary"]["takes"] == 4


def test_it_says_what_it_wrote_and_what_to_type_next(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each file, and the commands that lead on: they exist."""
    assert main(["init"]) == 0
    told = capsys.readouterr()
    assert {line.removeprefix("wrote ") for line in told.out.splitlines()} == WRITTEN == set(files(folder))
    assert f"  kling-batch validate {MANIFEST}\n  kling-batch run {MANIFEST} --sandbox\n" in told.err


def test_another_folder_is_made(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With a hint to enter it."""
    assert main(["init", "game/audio"]) == 0
    assert set(files(folder / "game/audio")) == WRITTEN
    assert "cd game/audio" in capsys.readouterr().err


def test_nothing_is_overwritten(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a person wrote stays, to the byte, and is named."""
    (folder / MANIFEST).write_text("mine")
    (folder / ".github/workflows").mkdir(parents=True)
    (folder / WORKFLOW).write_text("mine, too")
    assert main(["init"]) == 0
    assert (folder / MANIFEST).read_text() == "mine"
    assert (folder / WORKFLOW).read_text() == "mine, too"
    assert f"left  {MANIFEST}: it is there already" in capsys.readouterr().out


def test_a_second_time_changes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything is left, and nothing stands twice."""
    main(["init"])
    before = files(folder)
    capsys.readouterr()
    assert main(["init"]) == 0
    assert files(folder) == before
    assert "wrote" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "out/\n*.sandbox.lock\n"),
        ("*.tmp", "*.tmp\nout/\n*.sandbox.lock\n"),
        ("/out\n", "/out\n*.sandbox.lock\n"),
        ("*.sandbox.lock\r\nout/\r\n", "*.sandbox.lock\r\nout/\r\n"),
    ],
)
def test_ignore_lines_are_added_once(folder: Path, before: str, after: str) -> None:
    """To what is there, after a last line without an end, and only those that are lacking."""
    (folder / ".gitignore").write_bytes(before.encode())
    main(["init"])
    assert (folder / ".gitignore").read_bytes().decode() == after


def test_git_ignores_what_it_should(folder: Path) -> None:
    """The sounds and the sandbox's lock; not the lock, the schema or the manifest."""
    subprocess.run(["git", "init", "--quiet"], check=True)
    main(["init"])
    for name in ("out/sounds/a.wav", "sounds.yaml.sandbox.lock", "sounds.yaml.lock"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    seen = subprocess.run(
        ["git", "ls-files", "--others", "--exclude-standard"], capture_output=True, text=True, check=True
    ).stdout.split()
    assert set(seen) == WRITTEN | {"sounds.yaml.lock"}


def test_the_schema_line_leads_to_the_programs_schema(folder: Path) -> None:
    """An editor finds it beside the manifest, also where the program is not installed."""
    main(["init"])
    first = (folder / MANIFEST).read_text().splitlines()[0]
    target = folder / first.removeprefix("# yaml-language-server: $schema=")
    assert json.loads(target.read_text()) == resources.schema("manifest")


def test_the_workflow_is_about_the_manifest(folder: Path) -> None:
    """It runs what init wrote, and caches what git ignores."""
    main(["init"])
    text = (folder / WORKFLOW).read_text()
    assert yaml.safe_load(text)["jobs"]
    assert f"kling-batch run {MANIFEST} --no-store --max-units" in text
    assert "          path: out\n" in text
    assert IGNORED[0] == "out/"


@pytest.mark.parametrize(
    ("spec", "installed"),
    [((), f"kling-batch=={__version__}"), (("--install", WHEEL), WHEEL), (("--install", CLONE), CLONE)],
)
def test_the_workflow_installs_what_it_is_told(folder: Path, spec: tuple[str, ...], installed: str) -> None:
    """The version that runs, or what `--install` says, as one word of the shell; a comment says what else there is."""
    assert main(["init", *spec]) == 0
    text = (folder / WORKFLOW).read_text()
    steps = [step for job in yaml.safe_load(text)["jobs"].values() for step in job["steps"]]
    installs = [shlex.split(step["run"]) for step in steps if "pip install" in step.get("run", "")]
    assert installs == [["python", "-m", "pip", "install", installed]] * 2
    assert "git+https://" in text.split("pip install")[0]


def test_the_workflow_installs_from_where_the_program_came() -> None:
    """From the repository and commit that pip noted, else by its number: no other machine has a path of this one."""
    noted = {"url": "https://a.example/b.git", "vcs_info": {"vcs": "git", "commit_id": "1234"}}
    cases: list[tuple[dict[str, Any], str]] = [
        (noted, "kling-batch @ git+https://a.example/b.git@1234"),
        ({"url": "https://a.example/c.whl", "archive_info": {}}, "kling-batch @ https://a.example/c.whl"),
        ({"url": "file:///home/me/kling-batch", "dir_info": {"editable": True}}, f"kling-batch=={__version__}"),
        ({}, f"kling-batch=={__version__}"),
    ]
    for url, spec in cases:
        assert spec_of(url) == spec


def test_below_the_root_of_a_repository_it_says_where_the_workflow_has_to_be(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """GitHub would not find it, and would not say so."""
    (folder / ".git").mkdir()
    assert main(["init", "audio"]) == 0
    assert f"to {folder / WORKFLOW}" in capsys.readouterr().err
    assert main(["init"]) == 0
    assert "root of the repository" not in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_named(folder: Path) -> None:
    """In words, with exit status 6."""
    (folder / "file").touch()
    command = [sys.executable, "-m", "kling_batch", "init", "file/below"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 6
    assert "a file stands where a folder is needed" in done.stderr
    assert "Traceback" not in done.stderr
