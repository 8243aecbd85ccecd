"""Tables and commands of the pages are those of the code: settings, choices, engines, names."""

from __future__ import annotations

import fnmatch
import functools
import re
import typing
from collections.abc import Iterator
from typing import Any, Literal

import click
import numpy as np
import pandas as pd
import pytest
from clean_environment import REPOSITORY
from sos_estimators.inference.vcov import CONVENTIONS

from sos_plugins.authors import derive
from sos_plugins.authors.scaffold import KINDS
from sos_plugins.cli import main
from sos_plugins.contract import hookspecs
from sos_plugins.groundwork.type_names import members
from sos_plugins.host.registry import Registry, load_plugins

DOCS = REPOSITORY / "docs"
SPAN = re.compile(r"`([^`\n]+)`")
FENCED = re.compile(r"^```.*?^```", re.M | re.S)
PAGES = {
    "estimators.md": ("did", "event-study"),
    "callaway-santanna.md": ("callaway-santanna",),
    "staggered.md": ("sun-abraham", "imputation", "two-stage", "extended-twfe", "stacked"),
    "synthetic.md": ("synthetic-did", "augmented-synthetic-control"),
    "diagnostics.md": (
        *("honest-did", "honest-callaway-santanna", "bacon", "placebo"),
        *("serial-correlation", "panel-effects"),
    ),
}
"""Estimators by the page that lists their settings."""


@functools.cache
def registry() -> Registry:
    return load_plugins()


def tables(page: str) -> Iterator[list[list[str]]]:
    """Every table of a page as rows of cells, its head first."""
    text = page if "\n" in page else (DOCS / page).read_text()
    for block in re.findall(r"(?:^\|.*\n)+", text, re.M):
        rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in block.splitlines()]
        yield [[cell.strip() for cell in row] for n, row in enumerate(rows) if n != 1]


def headed(page: str, *head: str) -> Iterator[list[list[str]]]:
    """Tables whose head begins with these words, without it; an empty first cell is as above."""
    for rows in tables(page):
        if tuple(rows[0][: len(head)]) == head:
            last = ""
            filled = []
            for row in rows[1:]:
                last = row[0] or last
                filled.append([last, *row[1:]])
            yield filled


def settings_of(page: str) -> dict[str, list[Any]]:
    """Fields of the estimators of a page, by name."""
    fields: dict[str, list[Any]] = {}
    for name in PAGES[page]:
        for setting, field in registry().estimator(name).Settings.model_fields.items():
            fields.setdefault(setting, []).append(field)
    return fields


def choices(field: Any) -> set[str]:
    """The texts that a field takes, or of which it takes several; none where any value fits."""
    kinds = [k for kind in members(field.annotation) for k in (kind, *typing.get_args(kind))]
    literal = [k for k in kinds if typing.get_origin(k) is Literal]
    values = {value for k in literal for value in typing.get_args(k)}
    return {v for v in (*values, *kinds) if isinstance(v, str)}


@pytest.mark.parametrize("page", PAGES)
def test_settings_in_the_tables_of_estimators_exist(page: str) -> None:
    known = settings_of(page)
    listed = [n for rows in headed(page, "setting") for row in rows for n in SPAN.findall(row[0])]
    assert listed
    assert not set(listed) - set(known)


@pytest.mark.parametrize(("page", "name"), [(p, n) for p, names in PAGES.items() for n in names])
def test_every_setting_of_an_estimator_stands_on_its_page(page: str, name: str) -> None:
    others = {"staggered.md": "callaway-santanna.md", "diagnostics.md": "estimators.md"}
    text = (DOCS / page).read_text()
    text += (DOCS / others[page]).read_text() if page in others else ""
    code = [*FENCED.findall(text), *SPAN.findall(FENCED.sub("", text))]
    said = {word for part in code for word in re.findall(r"\w+", part)}
    assert not set(registry().estimator(name).Settings.model_fields) - said


@pytest.mark.parametrize("page", ["callaway-santanna.md", "staggered.md", "synthetic.md"])
def test_choices_in_the_tables_of_settings_are_those_of_the_code(page: str) -> None:
    """All of them, for at least one estimator of the page, the default first."""
    fields, compared = settings_of(page), 0
    for row in (row for rows in headed(page, "setting") for row in rows):
        listed = SPAN.findall(row[1])
        for setting in SPAN.findall(row[0]) if listed else ():
            fits = [f for f in fields[setting] if choices(f) == set(listed)]
            assert fits, f"{setting}: {listed}"
            assert listed[0] in {f.default for f in fits}, f"{setting}: {listed[0]}"
            compared += 1
    assert compared > 5


def test_choices_of_did_are_all_listed() -> None:
    fields = registry().estimator("did").Settings.model_fields
    (rows, *_) = headed("estimators.md", "setting", "values")
    for setting in ("form", "model", "always_treated"):
        cells = [row[1] for row in rows if SPAN.findall(row[0]) == [setting]]
        listed = set(SPAN.findall(" ".join(cells)))
        assert choices(fields[setting]) - {"auto"} == listed, setting


def test_the_table_of_inference_lists_every_variance() -> None:
    rows, _ = headed("inference.md", "method", "what it is")
    listed = {name for row in rows for name in SPAN.findall(row[0])}
    known = choices(registry().estimator("did").Settings.model_fields["vcov"])
    assert known == {name for name in listed if not name.startswith(("WC", "RI-"))}


def test_the_table_of_few_treated_clusters_lists_every_method() -> None:
    _, rows = headed("inference.md", "method", "what it is")
    listed = [name for row in rows for name in SPAN.findall(row[0])]
    (field,) = {
        str(registry().estimator(name).Settings.model_fields["inference"].annotation)
        for name in ("imputation", "stacked", "callaway-santanna")
    }
    assert listed == re.findall(r"'([\w-]+)'", field)


@pytest.mark.parametrize(
    ("page", "head"),
    [("staggered.md", "estimator"), ("synthetic.md", "estimator"), ("matching.md", "matcher")],
)
def test_tables_of_engines_name_all_of_them_in_their_order(page: str, head: str) -> None:
    named = {}
    for rows in tables(page):
        if rows[0][0] == head and "engines" in rows[0]:
            column = rows[0].index("engines")
            for row in rows[1:]:
                cell = re.sub(r"\([^)]*\)", "", row[column])
                named[SPAN.findall(row[0])[0]] = SPAN.findall(cell)
    assert named
    for plugin, engines in named.items():
        assert engines == [e.name for e in registry().engines(plugin)], plugin


def test_the_engines_of_callaway_santanna_are_listed() -> None:
    (rows,) = headed("callaway-santanna.md", "engine", "what it is")
    listed = [SPAN.findall(row[0])[0] for row in rows]
    assert listed == [e.name for e in registry().engines("callaway-santanna")]


def test_the_matchers_are_listed() -> None:
    (rows,) = headed("matching.md", "matcher", "level")
    levels = {"units": "authorities", "cases": "cases"}
    listed = {SPAN.findall(row[0])[0]: row[1] for row in rows}
    offers = registry().offers("matcher")
    assert listed == {o.name: levels[o.obj.level] for o in offers}


def test_the_factors_of_variances_are_those_that_did_knows() -> None:
    (rows,) = headed("inference.md", "`vcov`", "factor")
    listed = {name for row in rows for name in SPAN.findall(row[0])}
    assert listed == set(CONVENTIONS)


def test_the_readme_or_a_page_that_it_names_lists_every_plugin() -> None:
    text = (REPOSITORY / "README.md").read_text()
    (rows,) = [r for r in tables(text) if r[0][:2] == ["kind", "built in"]]
    for kind, built_in, see in rows[1:]:
        known = registry().names(kind.replace(" ", "-").removesuffix("s"))
        listed = SPAN.findall(built_in)
        pages = [(REPOSITORY / page).read_text() for page in re.findall(r"\((docs/[^)]+)\)", see)]
        on_pages = {name for page in pages for name in SPAN.findall(page)}
        named = [*listed, *on_pages]
        assert not [n for n in known if not any(fnmatch.fnmatch(n, p) for p in named)], kind
        assert not [p for p in listed if not fnmatch.filter(known, p)], kind


PROSE = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]


@pytest.mark.parametrize("page", PROSE, ids=lambda p: p.name)
def test_commands_that_a_page_shows_exist_with_their_options(page: Any) -> None:
    text = page.read_text().replace("\\\n", " ")
    shown = re.findall(r"^ *sos-plugins +([a-z-]+)([^#\n]*)", text, re.M)
    shown += re.findall(r"`sos-plugins +([a-z-]+)([^`]*)`", text)
    for name, rest in shown:
        command = main.commands.get(name)
        assert isinstance(command, click.Command), f"sos-plugins {name}"
        options = {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"--help"}
        used = re.findall(r"(?<=\s)--?[a-z][a-z-]*", f" {rest}")
        assert not set(used) - options, f"sos-plugins {name}{rest}"


def test_helpers_of_outcomes_in_the_docs_are_those_of_derive() -> None:
    (rows,) = headed("outcomes.md", "helper", "does")
    listed = {n for row in rows for n in SPAN.findall(row[0])}
    assert not listed - set(derive.__all__)


def test_every_hook_heads_a_section_and_every_kind_has_its_template() -> None:
    text = (DOCS / "hooks.md").read_text()
    hooks = {name for name in vars(hookspecs) if name.startswith("register_")}
    assert set(re.findall(r"^### `(\w+)\(", text, re.M)) == hooks
    for kind in KINDS:
        assert f"sos-plugins new {kind} NAME" in " ".join(text.split()), kind


@pytest.mark.filterwarnings("ignore")
def test_differences_stops_where_a_cluster_is_named() -> None:
    """docs/parity.md says so; the engine sums influence functions by cluster itself."""
    differences = pytest.importorskip("differences")
    rng = np.random.default_rng(1)
    index = pd.MultiIndex.from_product([range(40), range(4)], names=["id", "period"])
    data = pd.DataFrame({"value": rng.normal(size=160)}, index=index)
    identity = index.get_level_values("id").to_numpy()
    data["cohort"] = np.where(identity < 20, 2.0, np.nan)
    data["region"] = identity // 4
    model = differences.ATTgt(data, cohort_column="cohort")
    with pytest.raises(AttributeError, match="columns"):
        model.fit("value", cluster_var="region", progress_bar=False)
