"""One take's sound is looked at and finished, and what was made of it gets its final names. All of it blocks.

Artifacts that are known by their hashes come from the disk or the store. All else is made of the sound as it was
delivered, as often as it takes, at no cost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kling_batch.catalog import kind_of
from kling_batch.delivery.checks import Fingerprint
from kling_batch.delivery.finish import MadeFile
from kling_batch.delivery.finish.tags import tags_of
from kling_batch.delivery.finishing import Finished, Wanted, finish
from kling_batch.delivery.place import coming_file, forget_rejected, placed_now, rejected_path
from kling_batch.disk import disk_border, hash_file
from kling_batch.model import FileRecord
from kling_batch.records.attempts import PlacedFile
from kling_batch.records.state import Presence
from kling_batch.running.files import Arrived, Files


@dataclass(eq=False)
class Finishing:
    """What is made of the files of a take."""

    files: Files

    def __post_init__(self) -> None:
        self._work, self._take, self._facts = self.files.work, self.files.work.take, self.files.work.facts

    def known(self) -> list[PlacedFile] | None:
        """Take the finished files from where they are; None where one is nowhere, or others are asked for."""
        job = self._take.job
        if not job.finish or self._work.row.recipe != job.recipe:
            return None
        found = []
        for name in job.finish["formats"]:
            known = self._facts.finished_files.get(name)
            if known is None or not self._is_at_hand(known):
                return None
            found.append(self._placed(replace(known, path=self._take.path(name))))
        return found

    def _is_at_hand(self, known: FileRecord) -> bool:
        """Have a finished file stand under its name, if it is anywhere; one that was edited is left there."""
        path, presence = self._take.path(known.format), self._presence(known.format)
        if not presence.lacks:
            return True
        coming = self._coming(known.format)
        paths = [] if known.path == path else [known.path]
        if not self.files.copies.bring(self.files.out, paths, known.sha256, coming):
            return False
        self.files.place(coming, path, known.sha256, presence, kept={file.sha256 for file in self._facts.made_before})
        return True

    def wanted(self, recipe: Mapping[str, Any], others: Mapping[str, Fingerprint]) -> Wanted:
        """Say what is to be done with the sound, tags and all."""
        words = kind_of(self._take.job).words_of(self._take.job)
        return Wanted(recipe=recipe, tags=tags_of(self._take, words, self._work.row.task_id), others=others)

    def make(self, source: Path, wanted: Wanted) -> Finished:
        """Look at the sound as it was delivered, and finish it; what is made stands under no final name yet."""
        coming, *_ = [self._coming(name) for name in self._take.job.outputs]
        finished = finish(source, wanted, folder=coming.parent, name=coming.stem, probe=self.files.probe)
        for file in finished.files:
            self.files.copies.put(file.path, file.record.sha256)
        return finished

    def bring(self, finished: Finished) -> Finished | None:
        """Bring what a worker made out of the store; None where it is not to be had."""
        files = [replace(file, path=self._coming(file.record.format)) for file in finished.files]
        there = all(self.files.copies.fetch(file.record.sha256, file.path) for file in files)
        return replace(finished, files=tuple(files)) if there else None

    def is_as_known(self, finished: Finished) -> bool:
        """Whether what was made has the bytes that are known of it."""
        known = {(file.format, file.sha256) for file in self._facts.finished_files.values()}
        return {(file.record.format, file.record.sha256) for file in finished.files} <= known

    def place(self, finished: Finished) -> list[PlacedFile]:
        """Give finished files their names, and take away what was made before, and what was kept as rejected."""
        files = [self._placed_made(file) for file in finished.files]
        if files:
            self.files.clear(self._before(), but={file.record.path for file in files})
        for file in self._facts.known_files.values():
            forget_rejected(self.files.out, rejected_path(self._take.path(file.format), file.sha256))
        return files

    def _placed_made(self, file: MadeFile) -> PlacedFile:
        record = replace(file.record, path=self._take.path(file.record.format))
        presence, kept = self._presence(record.format), {each.sha256 for each in self._before()}
        if presence is not Presence.EDITED:
            self.files.place(file.path, record.path, record.sha256, presence, kept=kept)
        return replace(self._placed(record), shape=file.shape)

    def reject(self, sources: Mapping[str, Arrived], finished: Finished) -> None:
        """Keep a sound apart, with the reason, and leave nothing of it under its name."""
        reason = "\n".join(remark.words for remark in finished.remarks)
        for name, source in sources.items():
            with disk_border(source.at):
                sha256 = hash_file(source.at)
            self.files.reject(source.at, self._take.path(name), sha256, reason)
        self.files.clear(self._before(), but=())

    def clear_made(self, finished: Iterable[PlacedFile]) -> None:
        """Take away what was made of this very sound before, also where it stands as the chosen take.

        Soon nobody knows any more that it was made here.

        Args:
            finished: What is made of it now.
        """
        job, now = self._take.job, {file.record.sha256 for file in finished}
        gone = [file for file in self._facts.made_before if file.sha256 not in now]
        picked = [replace(file, path=job.picked_path(file.format)) for file in gone if job.picked_stem]
        self.files.clear([*gone, *picked], but={self._take.path(name) for name in job.outputs})

    def _before(self) -> list[FileRecord]:
        """Name the files of this very sound that stood in the folder: those as delivered are kept elsewhere by now."""
        return [*self._facts.known_files.values(), *self._facts.made_before]

    def _presence(self, name: str) -> Presence:
        return self._facts.presence.get(name, Presence.NEVER)

    def _coming(self, name: str) -> Path:
        """Name a finished file on its way to its place."""
        return coming_file(self.files.out, f"{self._work.external_id}.finished.{name}")

    def _placed(self, record: FileRecord) -> PlacedFile:
        """Note a finished file as it stands now; in place of one that was edited there is none."""
        absent = self._presence(record.format) is Presence.EDITED
        placed = placed_now(self.files.out, record, self._work.external_id, absent=absent)
        return replace(placed, finished=True)
