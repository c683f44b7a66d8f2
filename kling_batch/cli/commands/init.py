"""`kling-batch init`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import click

from kling_batch import __version__, resources
from kling_batch.catalog.manifest import manifest_schema_text
from kling_batch.cli.output import say
from kling_batch.disk import disk_border

MANIFEST = "sounds.yaml"
WORKFLOW = ".github/workflows/sounds.yml"
SCHEMA = ".kling-batch/manifest.schema.json"
"""Beside the manifest, so that an editor finds it without the network, and a colleague without the program."""
IGNORED = ("out/", "*.sandbox.lock")
"""What git leaves out: the sounds, which the lock can bring back, and what the sandbox made."""

ATTRIBUTES = (f"{MANIFEST}.lock merge=kling-batch",)
"""What git is told of the lock."""
MERGE_DRIVER = 'git config merge.kling-batch.driver "kling-batch lock merge %O %A %B"'

_IGNORE_FILE = ".gitignore"
_ATTRIBUTES_FILE = ".gitattributes"
_SCHEMA_OF_EXAMPLES = "../../schemas/manifest.schema.json"
_INSTALLS = "- run: python -m pip install kling-batch\n"


@click.command()
@click.argument("folder", metavar="[DIR]", type=click.Path(path_type=Path, file_okay=False), default=Path())
@click.option(
    "--install",
    "spec",
    metavar="SPEC",
    help="What the workflow installs, as pip takes it (default: the version that runs, from where it was installed).",
)
def command(folder: Path, spec: str | None) -> int:
    """Write a starter manifest, its schema for editors, lines for git and a CI workflow for GitHub.

    Writes into DIR, or here. What is there already stays as it is.
    """
    wrote: list[str] = []
    left: list[str] = []
    for name, text in _files(spec or spec_of(_noted())).items():
        (wrote if write_new(folder / name, text) else left).append(name)
    for name, lines in ((_IGNORE_FILE, IGNORED), (_ATTRIBUTES_FILE, ATTRIBUTES)):
        (wrote if _add_lines(folder / name, lines) else left).append(name)
    for name in wrote:
        say(f"wrote {folder / name}")
    for name in left:
        say(f"left  {folder / name}: it is there already")
    _say_what_next(folder)
    return 0


def spec_of(noted: Mapping[str, Any]) -> str:
    """Say how pip gets the version that runs: from the repository or URL that it came from, else by its number.

    Args:
        noted: What pip noted of that, its `direct_url.json`.
    """
    url, vcs = noted.get("url", "file:"), noted.get("vcs_info")
    if url.startswith("file:"):
        return f"kling-batch=={__version__}"
    return f"kling-batch @ {vcs['vcs']}+{url}@{vcs['commit_id']}" if vcs else f"kling-batch @ {url}"


def _noted() -> Any:
    try:
        return json.loads(distribution("kling-batch").read_text("direct_url.json") or "{}")
    except PackageNotFoundError:  # it runs from a folder
        return {}


def _files(spec: str) -> dict[str, str]:
    run = json.dumps(f"python -m pip install {shlex.quote(spec)}", ensure_ascii=False)
    return {
        MANIFEST: resources.starter_text("ci/sounds.yaml").replace(_SCHEMA_OF_EXAMPLES, SCHEMA),
        SCHEMA: manifest_schema_text(),
        WORKFLOW: resources.starter_text("ci/github.yml").replace(_INSTALLS, f"- run: {run}\n"),
    }


def write_new(path: Path, text: str) -> bool:
    """Write a file where there is none, not even one that came a moment ago."""
    with disk_border(path, option="DIR"):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("x", encoding="utf-8", newline="\n") as file:
                file.write(text)
        except FileExistsError:
            return False
    return True


def _add_lines(path: Path, lines: Iterable[str]) -> bool:
    """Add what a file lacks of these lines; `/out` says as much as `out/`."""
    with disk_border(path, option="DIR"):
        text = path.read_bytes().decode("utf-8", "surrogateescape") if path.exists() else ""
        there = {line.strip().strip("/") for line in text.splitlines()}
        lacking = [line for line in lines if line.strip("/") not in there]
        if not lacking:
            return False
        gap = "\n" if text and not text.endswith("\n") else ""
        with path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(gap + "".join(f"{line}\n" for line in lacking))
    return True


def _say_what_next(folder: Path) -> None:
    root = next((parent for parent in folder.resolve().parents if (parent / ".git").exists()), None)
    if root is not None and not (folder / ".git").exists():
        say(
            "",
            f"GitHub reads workflows at the root of the repository alone: move {folder / WORKFLOW} to "
            f"{root / WORKFLOW}, and give its jobs this folder as `defaults: run: working-directory`.",
            err=True,
        )
    steps = [f"cd {folder}"] if folder != Path() else []
    steps += [f"kling-batch validate {MANIFEST}", f"kling-batch run {MANIFEST} --sandbox"]
    next_steps = (f"  {step}" for step in steps)
    then = "Then take a key, set KLING_API_KEY, and kling-batch doctor tells whether all is ready."
    say("", "Next, without keys and without paying:", *next_steps, then, err=True)
    say("", "Once in every clone, so that git merges the lock take by take:", f"  {MERGE_DRIVER}", err=True)
