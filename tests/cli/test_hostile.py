"""Files and names made to get in: nothing is fetched, run, or written elsewhere."""

from __future__ import annotations

import csv
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lxml import html as lxml_html
from result_factory import NAMES, make_result
from sos_sources.cin.census import CinCensus
from sos_sources.tables.tidy import Tidy
from source_helpers import rows
from study_helpers import STUDY, write

from sos_plugins import Records, Session
from sos_plugins.errors import SettingsError, SosError
from sos_plugins.host.settings import validate
from sos_plugins.report import write_report
from sos_plugins.report.profile_page import profile_page
from sos_plugins.study.study import Study
from sos_plugins.study.study_profile import profile_source

POLICY = "default-src 'none'"
CHILD = (
    "<Child><ChildIdentifiers><LAchildID>{}</LAchildID></ChildIdentifiers><CINdetails>"
    "<CINreferralDate>2015-05-01</CINreferralDate></CINdetails></Child>"
)
MESSAGE = (
    "{}<Message {}><Header><CollectionDetails><Collection>CIN</Collection><ReferenceDate>2016-03-31"
    "</ReferenceDate></CollectionDetails><Source><LEA>330</LEA></Source></Header><Children>{}"
    "</Children></Message>"
)


def read(source: Any, base: Path, /, **values: Any) -> Records:
    settings = validate(source.Settings, values, where="test")
    return source().read(settings, Session(base=base))


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let any attempt to reach a network fail the test."""

    def refuse(*_: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


LAUGHS = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 30))
HEADS = {
    "an external entity": '<!DOCTYPE Message [<!ENTITY e SYSTEM "{secret}">]>',
    "a parameter entity": '<!DOCTYPE Message [<!ENTITY % e SYSTEM "{secret}"> %e;]>',
    "an external DTD": '<!DOCTYPE Message SYSTEM "http://127.0.0.1:9/x.dtd">',
    "a DTD in a file": '<!DOCTYPE Message SYSTEM "{secret}">',
    "many entities": f'<!DOCTYPE Message [<!ENTITY a0 "ha">{LAUGHS}<!ENTITY e "&a29;">]>',
}


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("head", HEADS)
def test_entities_and_dtds_are_neither_read_nor_expanded(tmp_path: Path, head: str) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("S3CRET")
    opening = HEADS[head].replace("{secret}", secret.as_uri())
    entity = "&e;" if "ENTITY e" in opening else ""
    text = MESSAGE.format(opening, "", CHILD.format("A") + CHILD.format(f"B{entity}"))
    (tmp_path / "a.xml").write_text(text)
    try:
        records = read(CinCensus, tmp_path, paths="a.xml")
        told = str([rows(records, name) for name in records.tables])
    except SosError as error:
        told = str(error)
    assert "S3CRET" not in told
    assert "hahaha" not in told


@pytest.mark.usefixtures("alone")
def test_inclusions_and_schemas_are_not_fetched(tmp_path: Path) -> None:
    (tmp_path / "more.xml").write_text(CHILD.format("S3CRET"))
    names = (
        'xmlns:xi="http://www.w3.org/2001/XInclude" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        'xsi:noNamespaceSchemaLocation="http://127.0.0.1:9/cin.xsd"'
    )
    included = f'<xi:include href="{(tmp_path / "more.xml").as_uri()}"/>'
    text = MESSAGE.format("", names, CHILD.format("A") + included)
    (tmp_path / "a.xml").write_text(text)
    records = read(CinCensus, tmp_path, paths="a.xml")
    assert [row["child"] for row in rows(records, "children")] == ["A"]


SCRIPT = '<script>alert(1)</script><img src=x onerror="alert(1)">"\' onload=alert(1)'


def test_the_pages_carry_a_policy_and_no_script(tmp_path: Path) -> None:
    study = make_result()
    outcomes = tuple(replace(o, info=replace(o.info, label=SCRIPT)) for o in study.outcomes)
    units = {unit: SCRIPT + unit for unit in NAMES}
    study = replace(study, title=SCRIPT, programme=SCRIPT, outcomes=outcomes, unit_names=units)
    report = write_report(study, tmp_path / "out").read_text(encoding="utf-8")
    column = SCRIPT.replace('"', "")
    (tmp_path / "cases.csv").write_text(f"unit,period,value,{column}\na,2015,1,\n")
    settings = {"path": str(tmp_path / "cases.csv")}
    registry = Study.from_toml(write(tmp_path / "study")).plan.registry
    profile = profile_page(profile_source(registry, "tidy", settings, Session()))
    for page in (report, profile):
        tree = lxml_html.document_fromstring(page)
        (policy,) = tree.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")
        assert policy.startswith(POLICY)
        assert "script-src" not in policy
        assert not tree.xpath("//script | //img[@src='x'] | //@onerror | //@onload | //iframe")
        # The policy stands before anything that it could have to forbid.
        head = [element.tag for element in tree.xpath("//head/*")]
        assert head.index("meta") < head.index("style")


ELSEWHERE = ["../x", "/etc/x", "a/b", "..", "a\\b", "x\0y", ".hidden"]


@pytest.mark.parametrize("name", ELSEWHERE)
def test_names_of_studies_and_outcomes_are_no_paths(tmp_path: Path, name: str) -> None:
    quoted = name.replace("\\", "\\\\").replace("\0", "\\u0000")
    for text in (
        STUDY.replace('name = "small"', f'name = "{quoted}"'),
        STUDY.replace('plugin = "tidy-value"', f'plugin = "tidy-value"\nname = "{quoted}"'),
    ):
        path = write(tmp_path, text)
        with pytest.raises(SettingsError, match="name"):
            Study.from_toml(path)


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "a/../../x", "..\\..\\x"])
def test_no_name_in_a_result_leads_out_of_the_folder_of_its_report(
    tmp_path: Path, name: str
) -> None:
    study = make_result()
    outcomes = tuple(
        replace(
            o,
            info=replace(o.info, name=name + o.info.name),
            estimates=tuple(replace(e, estimator=name, engine=name) for e in o.estimates),
        )
        for o in study.outcomes
    )
    units = dict.fromkeys(NAMES, name)
    study = replace(study, name=name, outcomes=outcomes, unit_names=units)
    out = tmp_path / "deep" / "er" / "out"
    write_report(study, out)
    outside = [p for p in tmp_path.rglob("*") if p.is_file() and not p.is_relative_to(out)]
    assert not outside
    names = [p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()]
    assert not [n for n in names if n.count("/") > 1 or ".." in n or "\\" in n]


@pytest.mark.parametrize("name", ['a"; DROP TABLE typed; --', "o'clock", 'a"b', "a;b", "{0}", "%s"])
def test_names_of_columns_are_names(tmp_path: Path, name: str) -> None:
    with (tmp_path / "cases.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [[name, "period", "value", f"x{name}"], ["'; DROP TABLE cases; --", "2015", "1", ""]]
        )
    records = read(Tidy, tmp_path, path="cases.csv", unit=name)
    (row,) = rows(records, "cases")
    assert row["unit"] == "'; DROP TABLE cases; --"
    checks = records.quality.checks
    assert checks.loc[checks["column"] == f"x{name}", "n_flagged"].sum() == 1
