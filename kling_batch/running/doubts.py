"""Refusals that may be a matter of the account or of the moment, and not of each take."""

from __future__ import annotations

from dataclasses import dataclass, field

from kling_batch.running.work import Work
from kling_batch.service.codes import ABOUT_WORDS
from kling_batch.service.outcomes import Refused

_FIRST_FEW = 3
"""The same refusal for so many takes in a row, before any was taken, is a matter of the account or the moment."""


@dataclass(slots=True)
class Doubts:
    """The takes that were refused, until that is believed of them. Once a task was `taken`, each is about its take."""

    taken: bool = False
    refused: dict[Work, Refused] = field(default_factory=dict)
    _subjects: set[str] = field(default_factory=set)

    @property
    def are_enough(self) -> bool:
        """Whether nothing more is to be sent, since the first few may all be refused alike."""
        return not self.taken and len(self._subjects) >= _FIRST_FEW

    def suspect(self, work: Work, refused: Refused) -> None:
        """Count a refusal among the first few."""
        self._subjects.add(_subject(work, refused))

    def trust(self, work: Work, refused: Refused) -> None:
        """Take back what `suspect` noted: the take was not refused."""
        self._subjects.discard(_subject(work, refused))

    def common(self) -> Refused | None:
        """Give the refusal that the first few takes all met, before any was taken; None where there is none."""
        refusals = list(self.refused.values())
        subjects = {_subject(work, refused) for work, refused in self.refused.items()}
        alike = len({refused.code for refused in refusals}) == 1 and len(subjects) >= _FIRST_FEW
        return refusals[0] if alike and not self.taken else None

    def believed(self, unfinished: int) -> dict[Work, Refused]:
        """Give the refusals that are now believed, and forget them. So many takes have not ended."""
        codes = {refused.code for refused in self.refused.values()}
        if not (self.taken or unfinished == len(self.refused) or len(codes) > 1):
            return {}
        believed, self.refused, self._subjects = self.refused, {}, set()
        return believed


def _subject(work: Work, refused: Refused) -> str:
    """Name what a refusal may be about: the words, which a job's takes share, or the take."""
    return work.take.job.id if refused.code in ABOUT_WORDS else work.external_id
