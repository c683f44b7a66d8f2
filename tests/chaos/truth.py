"""What has to hold, by the books of the sandbox alone: the program's own words are what is judged, never the judge."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import lru_cache
from itertools import product
from typing import Any

from kling_batch.catalog import kind
from kling_batch.catalog.finish import lead_of
from kling_batch.errors import AccountStop, BudgetStop, Interrupted, NotFinished
from kling_batch.identity import external_task_id
from kling_batch.model import Manifest, Status, Take, TakeResult
from kling_batch.records.lock import read_lock
from kling_batch.running.run import Outcome
from kling_batch.sandbox.clips import ClipSpec
from kling_batch.sandbox.ledger import Ledger, LedgerTask
from kling_batch.sandbox.rows import voice_id
from kling_batch.sandbox.settings import DAY_S, NO_TIME
from kling_batch.sandbox.world import World
from kling_batch.service.client import LONGEST_CALL_S
from tests.chaos.history import End, History, Place
from tests.chaos.process import COLLEAGUE, Machine
from tests.chaos.studio import bytes_of
from tests.chaos.studio import finished as finished_by

_DAMAGES = {"corrupt", "wrong-type", "wrong-format", "wrong-length", "cut"}
OTHERS = "other-"
"""How the external ids of other programs' tasks begin."""


def text_of(take: Take) -> str | None:
    """Give the text that a take has spoken: its name in the books, since it can have no other. None for other kinds."""
    return str(take.job.request["text"]) if kind(take.job.kind).synchronous else None


class Truth:
    """The books of one history."""

    def __init__(
        self, history: History, machine: Machine, place: Place = Place.FOLDER, *, before: Manifest | None = None
    ) -> None:
        self.before = {take.key: take for take in (before.takes if before is not None else ())}
        """The takes as they were asked for before."""
        self.history = history
        self.machine = machine
        self.place = place

        self.texts = Counter(text for take in history.manifest.takes if (text := text_of(take)) is not None)
        """How many takes there are of each text that is to be spoken."""

    def is_forgotten(self, external_id: str) -> bool:
        """Whether the service hid a task of this name for a while: nobody can know of it. Nobody looks for speech."""
        task = self.world._shelf.by_external_id(external_id)
        return task is not None and not task.order.kind.answers_at_once and task.forgotten_to > task.forgotten_from

    def cannot_be_had(self, each: TakeResult) -> bool:
        """Whether a sound is not delivered for what the service gave: its bytes, or where it says they are."""
        words = _words(each)
        if text_of(each.take) is not None and self._is_gone(words):
            return True
        leads_nowhere = any(rule.effect.name == "task-url" for rule in self.history.rules)
        bad_url = leads_nowhere and ("URL" in words or "has no host" in words)
        names = {rule.effect.name for rule in self.history.rules}
        damaged = "the same bytes came twice" in words and bool(names & _DAMAGES)
        changed = "other bytes than the lock names" in words and "changed" in names
        return bad_url or damaged or changed

    def _is_gone(self, words: str) -> bool:
        """Whether a spoken sound is paid for, and its address, which came with the answer alone, is of no use."""
        rules = {rule.effect.name for rule in self.history.rules}
        settings = self.history.settings
        no_longer = settings.url_lifetime_s < DAY_S or bool(rules & {"expire", "status"})
        refused = "the file host refuses the URL" in words and no_longer
        never_said = "came with the answer" in words and settings.behaviour.audios_after != NO_TIME
        known_elsewhere = "came with the answer" in words and self.machine.journals > 1
        return refused or never_said or known_elsewhere

    @property
    def knows_what_runs(self) -> bool:
        """Whether a journal can know all that runs: one that begins looks for what another has sent kind by kind.

        Speech whose call is given up may take longer than anybody could guess, or begin when nobody waits any more.
        """
        begun_anew = self.machine.journals > 1 and len(self.history.kinds) + len(self.texts) > 1
        spoken = (task for task in self.ledger.tasks if task.external_id in self.texts)
        overdue = any(task.ends_at - task.created_at > LONGEST_CALL_S for task in spoken)
        unknown = self.history.silent or begun_anew or overdue
        return not unknown and (self.history.keeps_all or not self.forgets)

    @property
    def forgets(self) -> bool:
        """Whether the service hid any task."""
        return any(self.is_forgotten(task.external_id) for task in self.ledger.tasks)

    @property
    def world(self) -> World:
        """The service."""
        return self.machine.world

    @property
    def ledger(self) -> Ledger:
        """The service's books, up to the present."""
        self.world.settle()
        return self.world.ledger

    def posts(self) -> dict[str, int]:
        """Count the create calls that arrived, by external id."""
        return {name: count for name, count in self.ledger.posts.items() if not name.startswith(OTHERS)}

    def tasks_of(self, take: Take) -> list[LedgerTask]:
        """Give the tasks of a take, attempt by attempt; of speech, those of all takes of its text."""
        text = text_of(take)
        attempts = range(1, self.history.retries + 2)
        names = [external_task_id(take, attempt) for attempt in attempts] if text is None else [text]
        return [task for name in names for task in self.ledger.tasks if task.external_id == name]

    def paid_sounds(self, of_kind: str | None = None) -> int:
        """Count the charges for tasks that made a sound, of one kind or of any."""
        tasks = [task for task in self.ledger.tasks if of_kind in {None, task.kind}]
        good = {task.task_id for task in tasks if task.failure is None}
        return sum(1 for c in self.ledger.charges if c.task_id in good and not c.external_id.startswith(OTHERS))

    def units_of(self, task_id: str | None) -> Decimal:
        """Say what a task was charged."""
        return sum((charge.units for charge in self.ledger.charges if charge.task_id == task_id), Decimal(0))

    def voice_of(self, task_id: str | None) -> str | None:
        """Say which voice a task has made; None where it makes none."""
        task = self.world._shelf.find(task_id or "", float("inf"))
        return voice_id(task) if task is not None and task.is_voice else None

    def sounds_of(self, task_id: str | None, audio_format: str) -> set[str]:
        """Give the hashes of every version of a task's sound."""
        return {_sound(spec, damage) for spec, damage in self._versions(task_id, audio_format)}

    def outputs_of(self, take: Take, task_id: str | None, audio_format: str) -> set[str]:
        """Give the hashes of what may stand under a name of a take, of every version: finished, or as delivered."""
        if audio_format not in take.job.finish.get("formats", ()):
            return self.sounds_of(task_id, audio_format)
        versions = self._versions(task_id, lead_of(take.job.formats) or "")
        made = (finished_by(take, task_id or "", spec, damage) for spec, damage in versions)
        return {files[audio_format] for files in made if files}

    def _versions(self, task_id: str | None, audio_format: str) -> Iterator[tuple[ClipSpec, int]]:
        task = self.world._shelf.find(task_id or "", float("inf"))
        if task is None:
            return
        output = kind(task.kind).outputs[audio_format]
        seeds = [task.seed, *(f"{task.seed}:{revision}" for revision in range(1, task.revision + 1))]
        settings = self.world.settings
        clips = [replace(task, revision=0).clip(name, settings) for name in (audio_format, *output.also)]
        lengths = {clips[0].duration_s * factor for factor in (1.0, *self._values_of("wrong-length"))}
        for made, seed, length in product(clips, seeds, lengths):
            for damage in (0, *self._values_of("corrupt")):
                yield replace(made, seed=seed, duration_s=length), damage

    def _values_of(self, effect: str) -> set[Any]:
        """Give what the faults of one name do: a program cannot tell the same damage twice from what was made."""
        return {rule.effect.value for rule in self.history.rules if rule.effect.name == effect}


@lru_cache(maxsize=4096)
def _sound(spec: ClipSpec, damage: int) -> str:
    return hashlib.sha256(bytes_of(spec, damage)).hexdigest()


def always(truth: Truth) -> Iterator[str]:
    """Say what is wrong although it must hold at every instant."""
    history, ledger = truth.history, truth.ledger
    yield from _paid_once(truth)
    yield from _spoken_once(truth)
    if truth.machine.unlicensed:
        yield f"{truth.machine.unlicensed} voices were asked for, and nobody had said who agrees"
    if truth.knows_what_runs and history.concurrency is not None and ledger.in_flight_max > history.concurrency:
        yield f"{ledger.in_flight_max} tasks were in flight, {history.concurrency} were allowed"
    if history.max_units is not None and _charged(ledger) > history.max_units + _surprise(truth):
        yield f"{_charged(ledger)} units were charged, {history.max_units} were allowed"
    if truth.machine.intrusions:
        yield "a second program got into a folder that was held"
    if ledger.token_leaks:
        yield f"{ledger.token_leaks} calls took the token to the file host"
    yield from _final_names(truth)


def _paid_once(truth: Truth) -> Iterator[str]:
    """Say which names were asked for that are none, or made several tasks; which takes have several good ones."""
    history, ledger = truth.history, truth.ledger
    named = {name: n for name, n in ledger.tasks_by_external_id.items() if name not in truth.texts}
    twice = [name for name, n in named.items() if n > 1 and not truth.is_forgotten(name)]
    # On an account that shows nothing, each kind's canary of every start may be a second one: a limit that is stated.
    if len(twice) > (len(history.lives) * len(history.kinds) if history.silent else 0):
        yield f"several tasks were made under {twice[:3]}"
    attempts = range(1, history.retries + 2)
    wanted = {external_task_id(take, n) for take in history.manifest.takes for n in attempts} | truth.texts.keys()
    for name in truth.posts():
        if name not in wanted:
            yield f"a task was asked for under {name}, which is no attempt of a take"
    for take in history.manifest.takes:
        tasks = truth.tasks_of(take) if text_of(take) is None else []
        good = [task for task in tasks if task.failure is None]
        if len(good) > 1 and not history.silent and not any(truth.is_forgotten(task.external_id) for task in tasks):
            yield f"{take.key} has {len(good)} tasks that do not fail"


def _spoken_once(truth: Truth) -> Iterator[str]:
    """Say which texts were spoken, or may have been, more often than there are takes of them.

    An answer that was lost is never asked for again. A journal that begins may ask once more for what others sent.
    """
    speech = truth.machine.speech
    for text, takes in truth.texts.items():
        most = takes * truth.machine.journals
        good = [task for task in truth.ledger.tasks if task.external_id == text and task.failure is None]
        lost, made = speech.lost[text], speech.made[text]
        if max(len(good), lost + made) > most:
            yield f"{text!r} was asked for again: {len(good)} tasks, {made} answers, {lost} lost, for {takes} takes"


def _surprise(truth: Truth) -> Decimal:
    """Say by how much prices that nobody could know exceed a budget.

    They are the first one's of every kind, those of what runs as they rise, and those of speech that nobody heard of.
    """
    lost = truth.machine.speech.lost.total()
    factor = max(Decimal(0), truth.history.settings.behaviour.units / kind("text-to-audio").units - 1)
    first = sum(
        (each.units * factor * (1 + (lost if each.synchronous else 0)) for each in truth.history.kinds), Decimal(0)
    )
    rises = any(rule.effect.name == "price" for rule in truth.history.rules)
    risen = truth.ledger.in_flight_max * len(truth.history.kinds) + lost
    return first + (Decimal("1.50") * risen if rises else Decimal(0))


def _charged(ledger: Ledger) -> Decimal:
    return sum((c.units for c in ledger.charges if not c.external_id.startswith(OTHERS)), Decimal(0))


def _final_names(truth: Truth) -> Iterator[str]:
    """Look at every file under a final name: it has to be a whole sound of its take."""
    for take in truth.history.manifest.takes:
        for audio_format in take.job.outputs:
            path = truth.machine.out(truth.place) / take.path(audio_format)
            if path.is_file() and not _is_sound(truth, take, audio_format):
                yield f"{path.name} is not the sound of its task"


def _is_sound(truth: Truth, take: Take, audio_format: str) -> bool:
    found = hashlib.sha256((truth.machine.out(truth.place) / take.path(audio_format)).read_bytes()).hexdigest()
    asked = [take, *(each for each in [truth.before.get(take.key)] if each and audio_format in each.job.outputs)]
    tasks = truth.tasks_of(take)
    return any(found in truth.outputs_of(one, task.task_id, audio_format) for one in asked for task in tasks)


def merged(truth: Truth) -> Iterator[str]:
    """Say whether what somebody else put into the lock while the program ran is gone."""
    if truth.machine.colleague is truth.place:
        lock = read_lock(truth.machine.lock_path(truth.place), project=truth.history.manifest.project)
        if all(entry.external_id != COLLEAGUE for entry in lock.everything()):
            yield "what a colleague put into the lock is gone"


def told(truth: Truth, outcome: Outcome, selected: Sequence[Take]) -> Iterator[str]:
    """Say what a report says wrongly, whenever the run ended."""
    result = outcome.result
    if [each.take for each in result.takes] != list(selected):
        yield "the report does not have every take once, in order"
    statuses = {each.status for each in result.takes}
    heard = [truth.units_of(each.task_id) for each in result.takes if text_of(each.take) and each.task_id]
    price = max(heard, default=Decimal(0)) if outcome.stopped is None else Decimal(0)
    if result.exit_status != _exit_wanted(outcome, statuses):
        yield f"exit {result.exit_status} with {sorted(statuses)} and {outcome.stopped!r}"
    for each in result.takes:
        if each.status is Status.SUCCEEDED:
            yield from _delivered(truth, each)
        elif each.error is None and each.status is not Status.PENDING:
            yield f"{each.take.key} is {each.status} without a reason"
        elif each.status is Status.UNKNOWN and text_of(each.take) is not None and not _says_its_price(each, price):
            yield f"{each.take.key} is unknown, and it is not said what it may have cost: {each.error}"


def _says_its_price(each: TakeResult, price: Decimal) -> bool:
    """Whether it is said of speech whose answer was lost what it may have cost, by the highest price that was seen."""
    return each.reserved > 0 and each.reserved >= price and f"Perhaps paid for ({each.reserved} units)" in _words(each)


def named(truth: Truth, outcome: Outcome) -> Iterator[str]:
    """Say which tasks a report does not name, of a run that could know them all."""
    for each in outcome.result.takes:
        tasks = truth.tasks_of(each.take) if text_of(each.take) is None else []
        if not tasks or each.status in {Status.SUCCEEDED, Status.UNKNOWN}:
            continue
        if tasks[-1].failure is None and each.task_id != tasks[-1].task_id:
            yield f"{each.take.key} is {each.status} and its task {tasks[-1].task_id} is not named"
    yield from _lost_speech_named(truth, outcome)


def _lost_speech_named(truth: Truth, outcome: Outcome) -> Iterator[str]:
    """Say of which texts fewer takes are unknown than answers were lost, or than tasks were made and not named."""
    results = outcome.result.takes
    for text, takes in truth.texts.items():
        of_it = [each for each in results if text_of(each.take) == text]
        unknown = sum(1 for each in of_it if each.status is Status.UNKNOWN)
        named = {each.task_id for each in of_it}
        good = [task for task in truth.ledger.tasks if task.external_id == text and task.failure is None]
        unnamed = [task.task_id for task in good if task.task_id not in named]
        lost = truth.machine.speech.lost[text]
        if len(of_it) == takes and unknown < max(lost, len(unnamed)):
            yield f"{text!r}: {lost} answers were lost, tasks {unnamed} are not named, and {unknown} takes are unknown"
        if unknown > lost and all(life.end is End.ITSELF for life in truth.history.lives):
            yield f"{text!r}: {lost} answers were lost, and {unknown} takes are unknown"


def _exit_wanted(outcome: Outcome, statuses: set[Status]) -> int:
    stops = ((AccountStop, 5), (Interrupted, 130), (NotFinished, 6))
    for stop, status in stops:
        if isinstance(outcome.stopped, stop):
            return status
    if Status.UNKNOWN in statuses:
        return 6
    if isinstance(outcome.stopped, BudgetStop):
        return 4
    if Status.PENDING in statuses:
        return 6
    return 1 if Status.FAILED in statuses else 0


def _delivered(truth: Truth, each: TakeResult) -> Iterator[str]:
    """Check a take that is said to have succeeded: paid once, its files there, whole and as reported."""
    key = each.take.key
    tasks = {task.task_id: task for task in truth.tasks_of(each.take)}
    task = tasks.get(each.task_id or "")
    spoken = text_of(each.take) is not None
    if task is None or task.failure is not None or (each.external_id != task.external_id and not spoken):
        yield f"{key} is said to be task {each.task_id}, which is no good task of it"
        return
    if (made := truth.voice_of(each.task_id)) != each.voice_id:
        yield f"{key} is said to have made the voice {each.voice_id}, and it is {made}"
    charged = sum((truth.units_of(task_id) for task_id in ([task.task_id] if spoken else tasks)), Decimal(0))
    if spoken and each.attempts > 1:
        charged = each.units  # which of the text's failed tasks were its own is not in the books
    if each.units != charged and not any(truth.is_forgotten(each.external_id) for each in tasks.values()):
        yield f"{key} is said to have cost {each.units}, and was charged {charged}"
    yield from _files(truth, each)


def _files(truth: Truth, each: TakeResult) -> Iterator[str]:
    """Check the files of a take that is said to have succeeded."""
    if [file.format for file in each.files] != list(each.take.job.outputs):
        yield f"{each.take.key} lacks a format"
    for file in each.files:
        path = truth.machine.out(truth.place) / file.path
        data = path.read_bytes() if path.is_file() else b""
        if hashlib.sha256(data).hexdigest() != file.sha256 or len(data) != file.bytes:
            yield f"{file.path} is not on the disk as it is reported"
        if file.sha256 not in truth.outputs_of(each.take, each.task_id, file.format):
            yield f"{file.path} is not the sound of task {each.task_id}"
    for file in each.sources:
        if file.sha256 not in truth.sounds_of(each.task_id, file.format):
            yield f"{file.path} is not the sound of task {each.task_id} as it was delivered"


def finished(truth: Truth, outcome: Outcome) -> Iterator[str]:
    """Say what is missing at the end, when the service has been well for a whole run."""
    now = truth.world.settle()
    in_flight = [task for task in truth.ledger.tasks if task.ends_at > now and task.external_id not in truth.texts]
    if in_flight:
        yield f"{len(in_flight)} tasks are still in flight"
    lock = read_lock(truth.machine.lock_path(truth.place), project=truth.history.manifest.project)
    for each in outcome.result.takes:
        entry = lock.entries.get(each.take.key)
        if each.status is Status.SUCCEEDED:
            delivered = each.sources or each.files
            if entry is None or entry.files != delivered or entry.task_id != each.task_id:
                yield f"{each.take.key}: the lock does not say what the report says"
        elif each.status is Status.FAILED:
            yield from _rightly_failed(truth, each)
        elif not (_may_stay_open(truth, each) or truth.cannot_be_had(each)):
            yield f"{each.take.key} is still {each.status}: {each.error}"
    if truth.machine.journals == 1:
        yield from _lost_speech_named(truth, outcome)
    yield from _sums(truth, outcome)


def _may_stay_open(truth: Truth, each: TakeResult) -> bool:
    """Whether it can never be known what became of a take: of speech; of the only one of its kind on the account.

    And where only the list shows names, since it may show them too late to be heard.
    """
    if each.status is Status.UNKNOWN and (text_of(each.take) is not None or not truth.paid_sounds(each.take.job.kind)):
        return True
    return truth.history.deaf


def _rightly_failed(truth: Truth, each: TakeResult) -> Iterator[str]:
    """A take may fail for good when its last task failed and no attempt is left, or when it was refused."""
    tasks = truth.tasks_of(each.take)
    if any(truth.is_forgotten(task.external_id) for task in tasks):
        return
    code = each.error.code if each.error else None
    if "Rejected: quiet" in _words(each) and each.take.job.check.get("quiet", {}).get("then") == "fail":
        if each.units != truth.units_of(each.task_id) or each.files or not each.sources:
            yield f"{each.take.key} was rejected, and its price or its sources are not named"
        return
    if _refused_here(truth, each):
        return
    if text_of(each.take) is not None:
        tasks = [task for task in tasks if task.task_id == each.task_id]
    if not tasks or (tasks[-1].external_id != each.external_id and text_of(each.take) is None):
        if code not in {1200, 1201, 1203, 1300, 1301}:
            yield f"{each.take.key} failed and was not refused: {each.error}"
    elif tasks[-1].failure is None and not truth.cannot_be_had(each):
        yield f"{each.take.key} is paid for and not delivered: {each.error}"
    elif (
        "risk" not in (tasks[-1].failure or "risk") and each.attempts <= truth.history.retries and not _hopeless(truth)
    ):
        yield f"{each.take.key} failed for a passing reason and was not tried again"


def _refused_here(truth: Truth, each: TakeResult) -> bool:
    """Whether a take's words were refused: another machine's may have been taken later, and are not asked for."""
    return each.error is not None and each.error.code in {1300, 1301} and not truth.history.keeps_all


def _words(each: TakeResult) -> str:
    return each.error.message if each.error else ""


def _hopeless(truth: Truth) -> bool:
    return sum(1 for task in truth.ledger.tasks if task.failure is not None) > 50


def _sums(truth: Truth, outcome: Outcome) -> Iterator[str]:
    """Compare the report's sum with the books: all that was charged for its takes."""
    results = outcome.result.takes
    lost = [each for each in results if each.status is Status.UNKNOWN and text_of(each.take) is not None]
    unclear = any(each.status is Status.UNKNOWN and each not in lost for each in results)
    if truth.forgets or unclear or any(_refused_here(truth, each) for each in results):
        return
    unheard = truth.texts and (lost or truth.machine.journals > 1)
    if unheard and truth.history.settings.behaviour.charge_failures:
        return  # what failed may have been charged, and nobody have heard of it
    named = {each.task_id for each in results}
    of_nobody = {task.task_id for task in truth.ledger.tasks if task.external_id in truth.texts} - named
    of_nobody = of_nobody if unheard else set()
    charged = _charged(truth.ledger) - sum((truth.units_of(task_id) for task_id in of_nobody), Decimal(0))
    said = outcome.result.units - sum((each.reserved for each in lost), Decimal(0))
    if said != charged:
        yield f"the report sums up to {said} units, {charged} were charged"
