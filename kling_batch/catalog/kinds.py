"""Reading a kind of task from its file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

from kling_batch import resources
from kling_batch.model import Job

DEFAULT = "text-to-audio"
"""The kind of a job that names none."""
WORDS = "prompt"
"""How reports name what a job asks for in words, whatever the field of its kind is called."""
LENGTH = "duration"
"""How reports name the length that a job asks for, in seconds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Output:
    """Where an answer has a finished file: the list in `task_result`, and the fields of URL and stated length there.

    `length` is None where none is stated. `bytes_per_s` is what a second of it takes on the disk. `also` are other
    formats in which the service may have made it: such a file is kept under this one's name. `module` decodes it where
    the core cannot; the `extra` installs it.
    """

    result: str
    url: str
    length: str | None
    bytes_per_s: int
    also: tuple[str, ...] = ()
    module: str | None = None
    extra: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Input:
    """A file of the user's that is handed over by its address, in the field `sent_as`; what the service takes of it.

    It is a video (MP4 or MOV), or, with `sound`, an MP3 or WAV as well.
    """

    sent_as: str
    least_s: float
    most_s: float
    most_bytes: int
    sound: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """What a task makes beside files, as a voice: the fields of a result that say its id, name and language.

    At the path `presets` are those that everybody may use; a call to `delete` with an id deletes one's own.
    """

    id: str
    name: str
    language: str
    presets: str
    delete: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """A kind of task.

    `fields` are what a job may say of its request, each with its schema; `required` those that must be sent, and of
    `one_of` exactly one, where there are any. `inputs` are those that name a file of the user's. `words` names the
    field that says in words what is wanted, `length` the one that says how long, in seconds, where there is one.
    `external_id` is the field that takes our name for a task; None where the service takes none: such a task can be
    asked for by its task id alone. `callback` is the field that takes the address where the service shall tell of a
    task, where there is one. A `synchronous` kind has its result in the answer to the call, and only there: it
    can be asked for by nothing.

    `rights` tells that what it makes is somebody's, as a voice is: it is asked for only once somebody has said who
    agrees to that. `makes` says how what is made beside files is told of; None for files alone.

    `outputs` are the files of a finished task by format, and `formats` those that are kept unless a job says otherwise.
    A task takes `slots` of the account's room in its `pool`; `units` is its list price. `final_messages` are words of a
    failure that would come again: a failed task carries no code [seen in captures], so that here, and here alone, words
    decide. `meant` are other names that people write for fields; `unsupported` says why there is no such field.
    """

    name: str
    fields: Mapping[str, Mapping[str, Any]]
    required: frozenset[str]
    path: str
    words: str
    length: str | None
    one_of: tuple[str, ...]
    inputs: Mapping[str, Input]
    external_id: str | None
    callback: str | None
    synchronous: bool
    rights: bool
    makes: Made | None
    outputs: Mapping[str, Output]
    formats: tuple[str, ...]
    pool: str
    slots: int
    units: Decimal
    final_messages: tuple[str, ...]
    meant: Mapping[str, str]
    unsupported: Mapping[str, str]

    @property
    def texts(self) -> frozenset[str]:
        """Name the fields that are text."""
        return frozenset(name for name, field in self.fields.items() if field["type"] == "string")

    @property
    def addresses(self) -> frozenset[str]:
        """Name the fields that take an address at which the service reads a file."""
        return frozenset(each.sent_as for each in self.inputs.values())

    def words_of(self, job: Job) -> str:
        """Say in words what a job asks for."""
        return str(job.request.get(self.words, ""))

    def length_of(self, job: Job) -> float | None:
        """Say how long a job wants its sound to be, in seconds; None where that is not asked for."""
        return None if self.length is None else float(job.request[self.length])

    def fails_for_good(self, message: str) -> bool:
        """Whether a task that failed with this message would fail again."""
        return any(words in message.casefold() for words in self.final_messages)


def read_kind(name: str, schema: Mapping[str, Any]) -> Kind:
    """Read a kind from the schema of its request, and from what `x-kling` there says of the service."""
    facts = schema["x-kling"]
    return Kind(
        name=name,
        fields={field: said for field, said in schema["properties"].items() if field != facts["external_id"]},
        required=frozenset(schema["required"]),
        path=facts["path"],
        words=facts["words"],
        length=facts["length"],
        one_of=tuple(facts["one_of"]),
        inputs={field: Input(**said) for field, said in facts["inputs"].items()},
        external_id=facts["external_id"],
        callback=facts["callback"],
        synchronous=facts["synchronous"],
        rights=facts["rights"],
        makes=None if facts["makes"] is None else Made(**facts["makes"]),
        outputs={output: _output(said) for output, said in facts["outputs"].items()},
        formats=tuple(facts["formats"]),
        pool=facts["pool"],
        slots=facts["slots"],
        units=Decimal(facts["units"]),
        final_messages=tuple(facts["final_messages"]),
        meant=facts["meant"],
        unsupported=facts["unsupported"],
    )


def _output(said: Mapping[str, Any]) -> Output:
    return Output(**{**said, "also": tuple(said.get("also", ()))})


@cache
def kinds() -> Mapping[str, Kind]:
    """Read every kind, by name: the default first."""
    folder = "tasks/"
    names = [name.removeprefix(folder) for name in resources.schema_names() if name.startswith(folder)]
    names.sort(key=lambda name: (name != DEFAULT, name))
    return {name: read_kind(name, resources.schema(folder + name)) for name in names}


def kind(name: str) -> Kind:
    """Give a kind by its name.

    Raises:
        KeyError: There is no such kind.
    """
    return kinds()[name]


def kind_of(job: Job) -> Kind:
    """Give the kind of a job's tasks."""
    return kinds()[job.kind]


@cache
def formats() -> tuple[str, ...]:
    """Name the formats of every kind's files."""
    return tuple(dict.fromkeys(name for each in kinds().values() for name in each.outputs))
