"""Follow-up: how long a case is watched until its value is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, model_validator

from sos_plugins.authors.derive.children import ChildSettings
from sos_plugins.authors.derive.events import KEY
from sos_plugins.contract.types import Records
from sos_plugins.errors import DataError


class FollowUpSettings(ChildSettings):
    """Settings of an outcome whose value is known some days after a date of the case.

    The follow-up comes from the window. It may be longer, never shorter: the same child would be
    1 with longer records and 0 with shorter ones. An outcome with its own ``window_days`` need not
    say more; one with several windows overrides :attr:`needed_days`.
    """

    window_days: int = Field(ge=0, description="Days in which an event counts.")
    follow_up_days: int | None = Field(
        None,
        ge=0,
        description="Days after which the value is known; none: those of the window. More leaves "
        "out cases near the end of the records, fewer are refused.",
    )

    @property
    def needed_days(self) -> int:
        """Days after which the value is known, whatever happens."""
        return self.window_days

    @property
    def followed_days(self) -> int:
        """Days for which a case is followed up."""
        return self.needed_days if self.follow_up_days is None else self.follow_up_days

    @property
    def allows_short_follow_up(self) -> bool:
        """Whether a quirk that the settings name lets the follow-up end before the window."""
        return False

    @model_validator(mode="after")
    def _follow_up_is_as_long_as_the_window(self) -> FollowUpSettings:
        if self.followed_days < self.needed_days and not self.allows_short_follow_up:
            raise ValueError(
                f"follow_up_days = {self.follow_up_days} ends before the value is known: what "
                f"counts may come up to day {self.needed_days}. Give {self.needed_days} or more, "
                "or leave follow_up_days out"
            )
        return self


class FollowedSettings(FollowUpSettings):
    """Settings of an outcome that may follow a child into another authority."""

    follow: Literal["authority", "anywhere"] = Field(
        "authority",
        description="Whether what follows counts in the authority of the case alone, or in any; "
        "anywhere needs linked children ([link] in the study). The case stays its authority's.",
    )

    def same_child(self, records: Records) -> Sequence[str]:
        """Return the columns in which a case and what follows it agree.

        Args:
            records: The records.

        Raises:
            DataError: If a child is to be followed everywhere and identifiers do not tell who is
                who.
        """
        if self.follow == "authority":
            return KEY
        if not records.linked:
            raise DataError(
                'follow = "anywhere" needs children that are linked over authorities: an '
                "authority's own identifiers are other children elsewhere. Add [link] to the "
                'study, such as [link] plugin = "...", see: sos-plugins list linkers. Or set '
                'follow = "authority".'
            )
        return KEY[1:]
