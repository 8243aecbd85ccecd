"""A release: what of a result is shown, what is suppressed, what is withheld."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from sos_plugins.release.cells import Ledger
from sos_plugins.release.drafts import (
    Counted,
    Decision,
    Draft,
    Share,
    decided,
    filled,
    marks,
)
from sos_plugins.release.earlier import Earlier, compared
from sos_plugins.release.outcome_tables import drafts_of
from sos_plugins.release.profiles import ReleaseRules
from sos_plugins.release.protect import Protection, protect
from sos_plugins.release.study_tables import (
    FILES,
    WITHHELD,
    WITHHELD_OF_OUTCOMES,
    programme,
    summary,
)
from sos_plugins.release.support import Support
from sos_plugins.report.sections import anchors_of
from sos_plugins.study.result import StudyResult

NOT_ASKED = "a table of single authorities, which was not asked for"
UNPROTECTED = "a small count in it could be worked out whatever else is suppressed"


@dataclass(frozen=True, repr=False)
class Release:
    """What of a result may leave.

    Attributes:
        name: Name of the study.
        simulated: Whether its records are made up.
        rules: The rules that were kept.
        tables: Each table as it is shown, by name.
        drafts: The same before, with captions and levels, by name.
        decisions: One for each figure and each table that is withheld.
        ledger: All counts, for whoever checks the release inside the room.
        protection: Which of them are suppressed.
        called: What estimators are called on charts, by their names.
    """

    name: str
    simulated: bool
    rules: ReleaseRules
    tables: Mapping[str, pd.DataFrame]
    drafts: Mapping[str, Draft]
    decisions: tuple[Decision, ...]
    ledger: Ledger
    protection: Protection
    called: Mapping[str, str]

    def __repr__(self) -> str:
        found = Counter(decision.decision for decision in self.decisions)
        told = ", ".join(f"{n} {name}" for name, n in sorted(found.items()))
        return f"<release of {self.name}: {len(self.tables)} tables; {told}>"

    @property
    def authority_level(self) -> tuple[str, ...]:
        """Names of the tables in which a row is one authority."""
        return tuple(name for name, draft in self.drafts.items() if draft.level == "authority")

    def count(self, decision: str) -> int:
        """Return how many decisions are of a kind."""
        return sum(one.decision == decision for one in self.decisions)


def release(
    result: StudyResult,
    rules: ReleaseRules | None = None,
    *,
    authorities: bool = True,
    earlier: Earlier | None = None,
) -> Release:
    """Decide what of a result may leave a secure research room.

    Args:
        result: The result of a study.
        rules: The rules of the room; those of ACRO by default.
        authorities: Whether tables of single authorities are released. None is ever released by
            authority and year.
        earlier: An earlier release from the same records, against which counts are held.

    Returns:
        The release; :func:`sos_plugins.release.write_release` writes it.
    """
    rules = rules or ReleaseRules()
    ledger = Ledger(rules)
    drafts = _drafts(result, rules, ledger)
    asked = [draft for draft in drafts if authorities or draft.level == "study"]
    forced = compared(asked, ledger, earlier) if earlier else set()
    protection = protect(ledger, forced)
    lost = {key for one in protection.unprotected for key, _ in one.terms}
    kept = [draft for draft in asked if not lost & _keys(draft)]
    tables, decisions = {}, []
    for draft in kept:
        frame, told = filled(draft, lambda mark: decided(mark, ledger, protection.suppressed))
        tables[draft.name] = frame
        decisions += told or [_whole(draft, "shown", "no figure of the records is in it")]
    decisions += [_whole(d, "withheld", NOT_ASKED) for d in drafts if d not in asked]
    decisions += [_whole(d, "withheld", UNPROTECTED) for d in asked if d not in kept]
    decisions += _withheld(result)
    return Release(
        name=result.name,
        simulated=result.simulated,
        rules=rules,
        tables=tables,
        drafts={draft.name: draft for draft in kept},
        decisions=tuple(decisions),
        ledger=ledger,
        protection=protection,
        called=dict(result.called),
    )


def _drafts(result: StudyResult, rules: ReleaseRules, ledger: Ledger) -> list[Draft]:
    drafts = [*summary(result, rules), *programme(result)]
    anchors = anchors_of([outcome.info.name for outcome in result.outcomes])
    for outcome, anchor in zip(result.outcomes, anchors, strict=True):
        drafts += drafts_of(Support(result, outcome, rules), anchor, ledger)
    return drafts


def _keys(draft: Draft) -> set[str]:
    """Return the counts of a table."""
    found: set[str] = set()
    for *_, mark in marks([draft]):
        if isinstance(mark, Counted):
            found.add(mark.key)
        elif isinstance(mark, Share):
            found |= {mark.part, mark.whole}
    return found


def _whole(draft: Draft, decision: str, rule: str) -> Decision:
    return Decision(draft.name, "", "", decision, rule, draft.level)  # type: ignore[arg-type]


def _withheld(result: StudyResult) -> Iterator[Decision]:
    """Tell what of the report is not released at all."""
    anchors: Sequence[str] = anchors_of([outcome.info.name for outcome in result.outcomes])
    named = {f"{a}_{name}": why for a in anchors for name, why in WITHHELD_OF_OUTCOMES.items()}
    for name, why in {**FILES, **WITHHELD, **named}.items():
        yield Decision(name, "", "", "withheld", why, "study")
