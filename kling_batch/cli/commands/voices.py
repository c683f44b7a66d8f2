"""`kling-batch voices`: which there are, and the end of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from kling_batch.catalog import kinds
from kling_batch.cli.environment import ask
from kling_batch.cli.options import text_or_json
from kling_batch.cli.output import can_ask, confirm, print_json, say
from kling_batch.errors import BudgetStop, UsageError
from kling_batch.service.client import LONGEST_PAGE
from kling_batch.service.outcomes import MadePage
from kling_batch.text import counted

_KIND, _MADE = next((kind, kind.makes) for kind in kinds().values() if kind.makes is not None)
_TRIAL = _KIND.outputs[_KIND.formats[0]].url
_MOST_PAGES = 100


@click.group(invoke_without_command=True)
@text_or_json
@click.pass_context
def command(context: click.Context, output: str) -> int:
    """List the account's own voices, then those that everybody may use. Free."""
    if context.invoked_subcommand is not None:
        return 0
    voices = [_json(voice, own=own) for own in (True, False) for voice in _voices(own=own)]
    if output == "json":
        print_json({"voices": voices})
        return 0
    for voice in voices:
        whose = "own" if voice["own"] else "preset"
        language = f"  {voice['language']}" if voice["language"] else ""
        say(f"{voice['voice_id']}  {whose:<6}  {voice['name']}{language}  {voice['trial_url'] or '-'}")
    say(f"{counted(len(voices), 'voice')}.", err=True)
    return 0


@command.command()
@click.argument("voice_id", metavar="ID")
@click.option("--yes", "consented", is_flag=True, help="Delete it without asking.")
def delete(voice_id: str, consented: bool) -> int:
    """Delete one of the account's own voices, for good. What it cost is not given back."""
    name = next((voice.get(_MADE.name, "") for voice in _voices(own=True) if voice[_MADE.id] == voice_id), None)
    if name is None:
        raise UsageError(f"{voice_id} is none of the account's own voices.", hint="kling-batch voices lists them.")
    if not consented and not (can_ask() and confirm(f"Delete the voice {voice_id} ({name}) for good?")):
        raise BudgetStop(f"Nobody agreed to delete the voice {voice_id} ({name}): it is there.", hint="Add --yes.")
    ask(lambda service: service.delete(_MADE, voice_id))
    say(f"Deleted the voice {voice_id} ({name}).", err=True)
    return 0


def _voices(*, own: bool) -> list[Mapping[str, str]]:
    """Ask for all of one's own voices, or for everybody's."""
    path = _KIND.path if own else _MADE.presets
    voices: list[Mapping[str, str]] = []
    for number in range(1, _MOST_PAGES + 1):
        page = _page(path, number)
        voices += [voice for voice in page.made if _MADE.id in voice]
        if page.rows < LONGEST_PAGE:
            break
    return voices


def _page(path: str, number: int) -> MadePage:
    return ask(lambda service: service.made(_KIND, path, number))


def _json(voice: Mapping[str, str], *, own: bool) -> dict[str, Any]:
    return {
        "voice_id": voice[_MADE.id],
        "name": voice.get(_MADE.name, ""),
        "own": own,
        "language": voice.get(_MADE.language),
        "trial_url": voice.get(_TRIAL),
    }
