"""A user's columns under names that nothing else has, and their own names again.

Engines make columns beside those of a sample, in Python, in R and in SQL, and a covariate may have
any of their names. So every :class:`sos_plugins.contract.interfaces.Engine` hands over the sample
with a user's columns called ``owncolumn001_``, ``owncolumn002_`` and so on, and puts their own
names back into whatever comes out, errors included. These names are plain words to R, to formulas
and to SQL, and tell columns apart by their place, so that no result rests on a name.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

import pandas as pd
from pydantic import BaseModel

NAMES_COLUMNS: dict[str, Any] = {"names_columns": True}
"""``json_schema_extra`` of a field of settings that names columns of a sample: text, a tuple of
texts, or a table with columns as its keys."""
HIDDEN = re.compile(r"owncolumn(\d{3,})_")

T = TypeVar("T")
Function = TypeVar("Function", bound=Callable[..., Any])


@runtime_checkable
class Sampled(Protocol):
    """A dataclass of cases that says which of its columns are a user's own."""

    @property
    def frame(self) -> pd.DataFrame:
        """One row a case."""

    @property
    def covariates(self) -> tuple[str, ...]:
        """Columns to adjust for."""

    @property
    def own_columns(self) -> tuple[str, ...]:
        """Columns of a user, in an order that does not rest on their names."""


S = TypeVar("S", bound=Sampled)


@dataclass(frozen=True)
class OwnNames:
    """Columns of a user, in order; the n-th is hidden as ``owncolumn00n_``."""

    own: tuple[str, ...]

    @functools.cached_property
    def hidden(self) -> Mapping[str, str]:
        """The name that each is hidden under."""
        return {name: f"owncolumn{n:03d}_" for n, name in enumerate(self.own, 1)}

    def hide(self, names: Iterable[str]) -> list[str]:
        """Return the names with those hidden that are a user's own.

        Args:
            names: Names of columns, in any order.
        """
        return [self.hidden.get(name, name) for name in names]

    def hide_columns(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return a frame with a user's columns hidden.

        Args:
            frame: Cases with the users' names; it is left as it is.
        """
        return frame.set_axis(self.hide(frame.columns), axis=1)

    def hide_sample(self, sample: S) -> S:
        """Return a sample with a user's columns hidden.

        Args:
            sample: The sample with the users' names; it is left as it is.
        """
        frame = self.hide_columns(sample.frame)
        return _with_columns(sample, frame, self.hide(sample.covariates))

    def hide_options(self, options: Any) -> Any:
        """Return settings with the columns hidden that fields with ``NAMES_COLUMNS`` name.

        Args:
            options: Settings; anything else goes through as it is.
        """
        if not isinstance(options, BaseModel):
            return options
        changed: dict[str, Any] = {}
        for name, field in type(options).model_fields.items():
            value = getattr(options, name)
            if field.json_schema_extra == NAMES_COLUMNS and value is not None:
                changed[name] = self._hide_setting(value)
        return options.model_copy(update=changed) if changed else options

    def _hide_setting(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.hide([value])[0]
        hidden = self.hide(value)
        if isinstance(value, Mapping):
            return dict(zip(hidden, value.values(), strict=True))
        return tuple(hidden)

    def show(self, given: T) -> T:
        """Return what came out with a user's own names.

        Args:
            given: Text, a table, a sample, or a mapping, list, tuple or dataclass that holds some;
                anything else goes through as it is.
        """
        shown: Any = given
        if isinstance(given, str):
            shown = HIDDEN.sub(self._own_name, given)
        elif isinstance(given, pd.DataFrame):
            shown = self._show_table(given)
        elif isinstance(given, Sampled):
            frame = given.frame.set_axis(self.show_names(given.frame.columns), axis=1)
            shown = _with_columns(given, frame, self.show_names(given.covariates))
        elif isinstance(given, Mapping):
            shown = {self.show(key): self.show(value) for key, value in given.items()}
        elif type(given) in (list, tuple):
            shown = type(shown)([self.show(item) for item in shown])
        elif is_dataclass(given) and not isinstance(given, type):
            values = {f.name: getattr(given, f.name) for f in fields(given) if f.init}
            shown = replace(given, **{name: self.show(value) for name, value in values.items()})
        return shown  # type: ignore[no-any-return]

    def show_names(self, labels: Iterable[Any]) -> list[Any]:
        """Return names of columns with a user's own in place of hidden ones.

        Args:
            labels: Names of columns, of any type.
        """
        own = {hidden: name for name, hidden in self.hidden.items()}
        return [own[label] if label in own else self.show(label) for label in labels]

    @contextmanager
    def shown_in_errors(self) -> Iterator[None]:
        """Put a user's own names into the text of an error."""
        try:
            yield
        except Exception as error:
            error.args = tuple(self.show(a) if isinstance(a, str) else a for a in error.args)
            raise

    def _own_name(self, match: re.Match[str]) -> str:
        place = int(match[1])
        return str(self.own[place - 1]) if 0 < place <= len(self.own) else match[0]

    def _show_table(self, table: pd.DataFrame) -> pd.DataFrame:
        shown = table.set_axis(self.show_names(table.columns), axis=1)
        if not pd.api.types.is_numeric_dtype(table.index.dtype):
            shown = shown.set_axis(table.index.map(self.show), axis=0)
        for j, kind in enumerate(table.dtypes):
            values = table.iloc[:, j]
            if not pd.api.types.is_numeric_dtype(kind) and values.map(_has_hidden).any():
                shown.isetitem(j, values.map(self.show).array)
        return shown


def _with_columns(sample: S, frame: pd.DataFrame, covariates: Iterable[Any]) -> S:
    made: Any = replace(cast(Any, sample), frame=frame, covariates=tuple(covariates))
    return cast(S, made)


def _has_hidden(value: Any) -> bool:
    return isinstance(value, str) and HIDDEN.search(value) is not None


def hiding_own_names(function: Function) -> Function:
    """Make a function of a sample, and of settings, see a user's columns under hidden names.

    What it returns or raises has their own names.

    Args:
        function: ``fit`` or ``limits`` of an engine: ``function(data, options)``. Data that is no
            sample, or has no column of a user, goes through as it is.
    """
    if hasattr(function, "hides_own_names"):
        return function

    @functools.wraps(function)
    def hiding(data: Any, *options: Any) -> Any:
        names = OwnNames(data.own_columns if isinstance(data, Sampled) else ())
        if not names.own:
            return function(data, *options)
        with names.shown_in_errors():
            given = (names.hide_options(option) for option in options)
            return names.show(function(names.hide_sample(data), *given))

    hiding.hides_own_names = True  # type: ignore[attr-defined]
    return cast(Function, hiding)
