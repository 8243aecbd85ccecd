"""How a report is cited, and the publications that its methods rest on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sos_plugins.report import formatting as words
from sos_plugins.report.tables import Table, column, frame_of
from sos_plugins.study.provenance import publications_in
from sos_plugins.study.result import StudyResult

SOFTWARE = (
    "The sos-plugins authors. sos-plugins: matched difference-in-differences on children's "
    "services records, as plugins. Version {version}. GPL-3.0-or-later."
)


def how_to_cite(study: StudyResult) -> str:
    """Say how the software that made a result is cited, with its version."""
    versions = study.manifest.get("versions")
    told = versions.get("sos-plugins") if isinstance(versions, Mapping) else None
    return SOFTWARE.format(version=words.text(told or "not known"))


def references_table(study: StudyResult) -> Table | None:
    """Make the table of the publications of what was used, in the order of the alphabet.

    A result that was made before plugins named their references has their citations.
    """
    used: dict[str, dict[str, None]] = {}
    for name, sources in _sources(study):
        for source in sources:
            if not words.missing(source):
                used.setdefault(words.clean(source), {})[study.called.get(name, name)] = None
    if not used:
        return None
    rows = [
        {"reference": source, "method": words.joined(names)}
        for source, names in sorted(used.items(), key=lambda item: item[0].casefold())
    ]
    columns = (column("reference", "Publication"), column("method", "Used for"))
    return Table("references", "References", frame_of(rows, ("reference", "method")), columns)


def _sources(study: StudyResult) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield what the plugins of a study, and its methods of inference, rest on."""
    yield from study.references.items()
    for named in (named for outcome in study.outcomes for named in outcome.estimates):
        if named.estimator not in study.references:
            citation = str(named.estimate.provenance.get("citation") or "")
            yield named.estimator, publications_in(citation)
        table = named.estimate.glance.get("inference")
        for row in table if isinstance(table, list) else ():
            yield str(row.get("method")), publications_in(str(row.get("citation") or ""))
