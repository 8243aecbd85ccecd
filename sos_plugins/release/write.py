"""The folder of a release: tables, charts, decisions, and a page that says what remains."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from sos_plugins.release.decide import Release
from sos_plugins.release.drafts import CONFIDENTIAL
from sos_plugins.release.earlier import MANIFEST
from sos_plugins.release.figures import charts
from sos_plugins.report.cells import csv_of
from sos_plugins.system.output_folder import Content, OutputError, replacing

LAST = "about.md"
RELEASE = Content(
    what="The release",
    manifest=MANIFEST,
    key="release",
    last=LAST,
    removable=re.compile(r"(tables/[A-Za-z0-9._-]+\.csv|charts/[A-Za-z0-9._-]+\.png)"),
)
REMAINS = """\
- Names of the pilots and their windows, which are known; with tables of single authorities, the
  size and the mean of each authority's cases before and after.
- Who knows an authority's own records knows its part of every figure.
- Estimates rest on all cases of their analysis; two that differ by one authority tell of it. Their
  counts are protected, their estimates are rounded to three digits and no more.
- Means of values that are no shares, standard errors and differences are no counts: what they give
  away together was not computed.
- Other releases from the same records, unless they were named with `--earlier`, and statistics
  published elsewhere.
"""
"""What a release does not protect, in words."""


def write_release(release: Release, folder: Path | str) -> Path:
    """Write a release for the output checker and return the path of ``about.md``.

    Args:
        release: What :func:`sos_plugins.release.release` decided.
        folder: Where; made if needed. It may not be the folder of a report, all of which stays.

    Raises:
        OutputError: If the folder cannot be written to, or holds a result.
    """
    folder = Path(folder)
    if (folder / "result.json").exists():
        raise OutputError(
            f"{folder} holds a result, which must not leave the room. Name another folder for the "
            "release."
        )
    with replacing(folder, RELEASE) as place:
        for name, content in _files(release):
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(content)
    return folder / LAST


def _files(release: Release) -> Iterator[tuple[str, bytes]]:
    for name, frame in release.tables.items():
        yield f"tables/{name}.csv", csv_of(frame).encode()
    for name, picture in charts(release.tables, release.called):
        yield f"charts/{name}", picture
    decisions = pd.DataFrame([asdict(one) for one in release.decisions])
    yield "disclosure.csv", csv_of(decisions).encode()
    yield "index.csv", csv_of(_index(release)).encode()
    labels = {name: list(draft.labels) for name, draft in release.drafts.items()}
    told = {"study": release.name, "rules": asdict(release.rules), "tables": labels}
    yield MANIFEST, json.dumps(told).encode()
    yield LAST, about(release).encode()


def _index(release: Release) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"file": f"{name}.csv", "caption": draft.caption, "level": draft.level}
            for name, draft in release.drafts.items()
        ]
    )


def about(release: Release) -> str:
    """Write the page for the checker: rules, tables by level, and what remains identifiable."""
    rules = release.rules
    zeros = "suppressed" if rules.suppress_zeros else "shown"
    notice = "All records are simulated.\n\n" if release.simulated else ""
    done = ", ".join(
        f"{release.count(kind)} {kind}" for kind in ("shown", "rounded", "suppressed", "withheld")
    )
    return f"""\
# Release: {release.name}

{notice}Counts of cases below {rules.min_count} are suppressed ({CONFIDENTIAL}), and shares and
means that rest on fewer; others are rounded to the nearest {rules.round_to}; zeros are {zeros}.
Regressions have at least {rules.min_df} residual degrees of freedom. Further counts are suppressed
until no total, share or difference of the tables here gives a small one away; totals of every
series, group and side were taken as known.

Figures: {done}. Each decision is a line of disclosure.csv, which does not tell which of the
suppressed counts are the small ones.

## Tables in which a row is one authority

{_listed(release.authority_level)}

## Other tables

{_listed([name for name in release.tables if name not in release.authority_level])}

## What remains identifiable

{REMAINS}"""


def _listed(names: tuple[str, ...] | list[str]) -> str:
    return "\n".join(f"- tables/{name}.csv" for name in names) or "None."
