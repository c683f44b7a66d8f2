"""`kling-batch validate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from kling_batch.cli import github
from kling_batch.cli.options import (
    allow_outside_option,
    flatten_option,
    format_option,
    manifests_argument,
    project_option,
)
from kling_batch.cli.output import print_json, say
from kling_batch.errors import ExitStatus, ManifestInvalid, Problem
from kling_batch.manifest import load
from kling_batch.text import counted


@click.command()
@manifests_argument
@project_option
@allow_outside_option
@flatten_option
@format_option(
    "text", "json", "github", help_text="How to print: for people, for programs, or as annotations of GitHub Actions."
)
def command(manifests: Sequence[Path], project: str | None, allow_outside: bool, flatten: bool, output: str) -> int:
    """Check manifests and report every problem as FILE:LINE:COLUMN: message.

    Needs no keys and no network. Exit status 0 when every manifest is valid, else 2.
    """
    problems: list[Problem] = []
    left_out = 0
    good: list[str] = []
    for path in manifests:
        try:
            manifest = load(path, project=project, allow_outside=allow_outside, flatten=flatten)
        except ManifestInvalid as error:
            problems += error.problems
            left_out += error.left_out
        else:
            good.append(f"{path}: {counted(len(manifest.jobs), 'job')}, {counted(len(manifest.takes), 'take')}")
    if output == "json":
        print_json({"valid": not problems, "problems": [p._asdict() for p in problems], "left_out": left_out})
    else:
        for problem in problems:
            if output == "github":
                github.annotate_problem(problem)
            else:
                say(str(problem))
    for line in good:
        say(f"{line}: valid", err=True)
    if problems:
        more = f", and {left_out} more" if left_out else ""
        say(f"{counted(len(problems), 'problem')}{more} found.", err=True)
    return int(ExitStatus.INVALID if problems else ExitStatus.DONE)
