"""docs/commands.md and the program say the same."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from kling_batch import resources
from kling_batch.errors import ExitStatus
from kling_batch.service.codes import CODES, Reaction

REFERENCE = "docs/commands.md"
SHARED = "Options about a manifest"
STOPPING = {Reaction.SIGN_AGAIN, Reaction.CHECK_CLOCK, Reaction.STOP_ACCOUNT}


def _options(command: click.Command) -> dict[str, click.Option]:
    return {option.opts[-1]: option for option in command.params if isinstance(option, click.Option)}


def _documented(reference: Any, name: str) -> dict[str, str]:
    """What the reference says of each option of a command: its row, or that of the table of shared options."""
    own = {option: " ".join(cells) for option, cells in reference.rows(f"kling-batch {name}").items()}
    shared = reference.rows(SHARED)
    line = re.search(r"^Shared options: (.*)$", reference.section(f"kling-batch {name}"), flags=re.MULTILINE)
    named = re.findall(r"`(--[a-z-]+)`", line[1]) if line else []
    return {option: text for option, text in own.items() if option.startswith("--")} | {
        option: " ".join(shared.get(option, [])) for option in named
    }


def _apart(documented: Iterable[Any], program: Iterable[Any], page: str = REFERENCE) -> list[str]:
    """What a page lacks, and what it has too much, in words that say what to do."""
    there, wanted = set(documented), set(program)
    lacking = [f"{page}: document {name}" for name in sorted(wanted - there)]
    return lacking + [f"{page}: take out {name}, which the program does not have" for name in sorted(there - wanted)]


def _properties(schema: Any) -> Iterator[str]:
    """The name of every property that a schema describes, at any depth."""
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        for value in schema.values():
            yield from _properties(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _properties(value)


def test_every_command_has_a_section_and_every_section_a_command(
    page: Callable[[str], Any], commands: dict[str, click.Command]
) -> None:
    """The reference has a section `kling-batch NAME` for each command, and for nothing else."""
    headings = page(REFERENCE).headings()
    documented = [heading.removeprefix("kling-batch ") for heading in headings if heading.startswith("kling-batch ")]
    assert not _apart(documented, commands)


def test_every_option_is_documented_and_every_documented_option_exists(
    page: Callable[[str], Any], commands: dict[str, click.Command]
) -> None:
    """A command's section names exactly the options that the command takes."""
    reference = page(REFERENCE)
    documented = [f"{name} {option}" for name in commands for option in _documented(reference, name)]
    assert not _apart(documented, [f"{name} {opt}" for name, command in commands.items() for opt in _options(command)])


def test_defaults_and_choices_are_documented(page: Callable[[str], Any], commands: dict[str, click.Command]) -> None:
    """An option's row states its default where `--help` does, and each of its choices."""
    reference = page(REFERENCE)
    missing = []
    for name, command in commands.items():
        rows = _documented(reference, name)
        for opt, option in _options(command).items():
            wanted = [
                f"default {option.default:g}" if isinstance(option.default, float) else f"default {option.default}"
            ]
            wanted = wanted if option.show_default else []
            wanted += [f"`{choice}`" for choice in option.type.choices] if isinstance(option.type, click.Choice) else []
            missing += [f"{name} {opt}: {word}" for word in wanted if word not in rows.get(opt, "")]
    assert not missing


def test_every_argument_is_documented(page: Callable[[str], Any], commands: dict[str, click.Command]) -> None:
    """A command's section begins with its usage, arguments as `--help` writes them."""
    reference = page(REFERENCE)
    lacking = []
    for name, command in commands.items():
        arguments = [param for param in command.params if isinstance(param, click.Argument)]
        usage = " ".join(["kling-batch", name, *(param.make_metavar(click.Context(command)) for param in arguments)])
        section = reference.section(f"kling-batch {name}")
        lacking += [] if f"\n{usage}\n" in section else [f"{REFERENCE}: the usage {usage!r}"]
    assert not lacking


def test_exit_codes_are_those_of_the_program(page: Callable[[str], Any]) -> None:
    """The table of exit codes has every code that the program can end with, and no other."""
    assert not _apart(page(REFERENCE).rows("Exit status"), [str(int(status)) for status in ExitStatus])


def test_codes_of_the_service_are_those_of_the_program(page: Callable[[str], Any]) -> None:
    """Every code of the service stands in the reference, with HTTP status and meaning as in the program."""
    rows = page(REFERENCE).rows("Codes of the service")
    documented = [" | ".join(cells[:3]) for cells in rows.values()]
    assert not _apart(documented, [f"{row.code} | {row.http} | {row.meaning}" for row in CODES.values()])


def test_codes_that_stop_the_run_say_so(page: Callable[[str], Any]) -> None:
    """The codes documented with exit 5 are those on which the account is stopped."""
    rows = page(REFERENCE).rows("Codes of the service")
    documented = [code for code, cells in rows.items() if "exit 5" in cells[3]]
    assert not _apart(documented, [str(row.code) for row in CODES.values() if row.reaction in STOPPING])


def test_every_variable_of_the_environment_is_documented(page: Callable[[str], Any], checkout: Path) -> None:
    """The variables that the program's sources name are those of the reference."""
    sources = "\n".join(path.read_text("utf-8") for path in (checkout / "kling_batch").rglob("*.py"))
    named = set(re.findall(r"\b(?:_?KLING_[A-Z]+_[A-Z]+|XDG_[A-Z]+_HOME|LOCALAPPDATA|GITHUB_[A-Z_]+[A-Z])\b", sources))
    named |= set(re.findall(r'"(NO_COLOR|(?:FORCE|CLI)_?COLOR(?:_FORCE)?|TERM|CI|BROWSER)"', sources))
    assert not _apart(page(REFERENCE).rows("Environment"), named)


def test_every_schema_is_documented(page: Callable[[str], Any]) -> None:
    """`kling-batch schema NAME` is documented with every name there is."""
    assert not _apart(page(REFERENCE).rows("kling-batch schema"), resources.schema_names())


def test_every_field_of_a_manifest_is_documented(page: Callable[[str], Any]) -> None:
    """docs/manifest.md has a row for every field of the manifest's schema, and for nothing else."""
    fields = set(_properties(resources.schema("manifest")))
    assert not _apart(page("docs/manifest.md").rows("Fields"), fields, "docs/manifest.md")


def test_the_architecture_names_what_is_there(page: Callable[[str], Any], checkout: Path) -> None:
    """docs/architecture.md has a section for every part of the house, and names no module that has gone."""
    house = checkout / "kling_batch"
    architecture = page("docs/architecture.md")
    parts = {path.parent.name for path in house.glob("*/__init__.py")}
    named = re.findall(r"`(?:[a-z]+/)?([a-z_0-9]+\.py)`", architecture.text)
    assert not parts - set(architecture.headings())
    assert not set(named) - {path.name for path in house.rglob("*.py")}
