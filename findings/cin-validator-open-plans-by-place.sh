#!/bin/sh
# csc-validator-be-cin finds two open protection plans only where they have the same place in a list.
# Needs Python 3.9 to 3.11.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check csc-validator-be-cin==0.1.13 \
    pandas==1.5.3 numpy==1.26.4
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import xml.etree.ElementTree as ET
from importlib.metadata import version

from cin_validator.cin_validator import CinValidator, convert_data, process_data
from cin_validator.rules.cin2026_27 import registry

# Cases of a child, each with the protection plans on it: the month of the start, and of the end.
CHILDREN = {
    "two open plans in one case": [[(5, None), (6, None)]],
    "two open plans in two cases, each the first there": [[(5, None)], [(7, None)]],
    "the same after a first plan that ended": [[(5, 6), (7, None)], [(8, None)]],
    "one open plan": [[(5, 6), (7, None)]],
}


def plan(start, end):
    ended = f"<CPPendDate>2026-{end:02}-10</CPPendDate>" if end else ""
    return f"""<ChildProtectionPlans><CPPstartDate>2026-{start:02}-20</CPPstartDate>{ended}
<InitialCategoryOfAbuse>NEG</InitialCategoryOfAbuse><LatestCategoryOfAbuse>NEG</LatestCategoryOfAbuse>
<NumberOfPreviousCPP>0</NumberOfPreviousCPP></ChildProtectionPlans>"""


def child(name, cases):
    written = "".join(
        f"""<CINdetails><CINreferralDate>2026-{plans[0][0]:02}-01</CINreferralDate>
<ReferralSource>1A</ReferralSource><PrimaryNeedCode>N1</PrimaryNeedCode><ReferralNFA>0</ReferralNFA>
{"".join(plan(*each) for each in plans)}</CINdetails>"""
        for plans in cases
    )
    return f"""<Child><ChildIdentifiers><LAchildID>{name}</LAchildID><UPNunknown>UN5</UPNunknown>
<PersonBirthDate>2016-02-01</PersonBirthDate><Sex>F</Sex></ChildIdentifiers>
<ChildCharacteristics><Ethnicity>WBRI</Ethnicity></ChildCharacteristics>{written}</Child>"""


root = ET.fromstring(
    f"""<Message><Header><CollectionDetails><Collection>CIN</Collection><Year>2027</Year>
<ReferenceDate>2027-03-31</ReferenceDate></CollectionDetails><Source><SourceLevel>L</SourceLevel>
<LEA>999</LEA><SoftwareCode>none</SoftwareCode><Release>1</Release><SerialNo>001</SerialNo>
<DateTime>2027-04-20T10:00:00</DateTime></Source></Header>
<Children>{"".join(child(*each) for each in CHILDREN.items())}</Children></Message>"""
)
tables = process_data(convert_data(root))
plans = tables["ChildProtectionPlans"]
numbers = {name: list(plans.loc[plans["LAchildID"] == name, "CPPID"]) for name in CHILDREN}
issues = CinValidator(tables, registry, ["8935"]).full_issue_df
flagged = {name: name in set(issues["child_id"]) for name in CHILDREN}

print(f"csc-validator-be-cin {version('csc-validator-be-cin')}, rules of 2026-27")
print(f"8935: {registry['8935'].message}")
for name in CHILDREN:
    print(f"  {name}: flagged {flagged[name]}; CPPID {numbers[name]}")
print(
    "What it means: the census gives plans no number. The reader counts them anew in each case as\n"
    "CPPID, and the rule looks for two open plans of one CPPID. So the usual mistake, a plan not\n"
    "closed when the next began in the same case, is never found. Count open plans by child."
)

assert flagged.pop("two open plans in two cases, each the first there")
assert not any(flagged.values()), "open plans are counted by child now"
PYTHON
