#!/bin/sh
# csc-validator-be-cin: one late plan silences rule 8565 for a whole census return, as "passed".
# Needs Python 3.9 to 3.11. A fresh install takes numpy 2, with which its pandas 1.5 cannot be imported.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check csc-validator-be-cin==0.1.13 \
    pandas==1.5.3 numpy==1.26.4
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import contextlib
import io
import xml.etree.ElementTree as ET
from importlib.metadata import version

from cin_validator.cin_validator import CinValidator, convert_data, process_data
from cin_validator.rules.cin2026_27 import registry

HEADER = """<Header><CollectionDetails><Collection>CIN</Collection><Year>2027</Year>
<ReferenceDate>2027-03-31</ReferenceDate></CollectionDetails><Source><SourceLevel>L</SourceLevel>
<LEA>999</LEA><SoftwareCode>none</SoftwareCode><Release>1</Release><SerialNo>001</SerialNo>
<DateTime>2027-04-20T10:00:00</DateTime></Source></Header>"""
ASSESSMENT = """<Assessments><AssessmentActualStartDate>2026-05-05</AssessmentActualStartDate>
<AssessmentInternalReviewDate>2026-05-20</AssessmentInternalReviewDate>
<AssessmentAuthorisationDate>2026-07-15</AssessmentAuthorisationDate>
<AssessmentFactors><AssessmentFactor>4A</AssessmentFactor></AssessmentFactors></Assessments>"""
NEED_PLAN = """<CINPlanDates><CINPlanStartDate>2026-05-20</CINPlanStartDate>
<CINPlanEndDate>2026-07-15</CINPlanEndDate></CINPlanDates>"""
PROTECTION_PLAN = """<ChildProtectionPlans><CPPstartDate>2026-05-20</CPPstartDate>
<CPPendDate>2026-07-15</CPPendDate><InitialCategoryOfAbuse>NEG</InitialCategoryOfAbuse>
<LatestCategoryOfAbuse>NEG</LatestCategoryOfAbuse><NumberOfPreviousCPP>0</NumberOfPreviousCPP>
</ChildProtectionPlans>"""
ENQUIRY = """<Section47><S47ActualStartDate>2026-07-15</S47ActualStartDate>
<ICPCnotRequired>1</ICPCnotRequired></Section47>"""


def child(name, before="", after=""):
    """A child whose case closed on 30 June 2026."""
    return f"""<Child><ChildIdentifiers><LAchildID>{name}</LAchildID><UPNunknown>UN5</UPNunknown>
<PersonBirthDate>2016-02-01</PersonBirthDate><Sex>F</Sex></ChildIdentifiers>
<ChildCharacteristics><Ethnicity>WBRI</Ethnicity></ChildCharacteristics><CINdetails>
<CINreferralDate>2026-05-01</CINreferralDate><ReferralSource>1A</ReferralSource>
<PrimaryNeedCode>N1</PrimaryNeedCode><CINclosureDate>2026-06-30</CINclosureDate>
<ReasonForClosure>RC8</ReasonForClosure>{before}<ReferralNFA>0</ReferralNFA>{after}
</CINdetails></Child>"""


def asked(*children):
    """Return the children that 8565 flags, whether it counts as passed, and what was printed."""
    root = ET.fromstring(f"<Message>{HEADER}<Children>{''.join(children)}</Children></Message>")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        done = CinValidator(process_data(convert_data(root)), registry, ["8565"])
    flagged = sorted(set(done.full_issue_df["child_id"])) if len(done.full_issue_df) else []
    return flagged, done.rules_passed == ["8565"], printed.getvalue().strip()


print(f"csc-validator-be-cin {version('csc-validator-be-cin')}, rules of 2026-27")
print("8565: nothing of a case may be later than its closure. Closed on 30 June, then on 15 July:")
ann = child("ann", before=ASSESSMENT)
bea = child("bea", after=PROTECTION_PLAN)
cay = child("cay", before=NEED_PLAN)
dee = child("dee", before=ENQUIRY)
found = {}
for what, children in {
    "ann's assessment": (ann,),
    "bea's protection plan": (bea,),
    "ann's assessment, cay's plan of a child in need": (ann, cay),
    "the same and dee's enquiry": (ann, cay, dee),
}.items():
    found[what] = asked(*children)
    flagged, passed, printed = found[what]
    print(f"  {what}: flagged {flagged}, rule passed {passed} {printed}")
print(
    "What it means: the rule compares closure with a protection plan that stands in its own text,\n"
    "not with those of the return, so that no late protection plan is ever found. A late plan of a\n"
    "child in need stops it, unless as many Section 47 rows are late: then the rule counts as\n"
    "passed, nothing is flagged of any child in the return, and the error is a printed line alone.\n"
    "'rules_passed' holds rules that could not run. Look for 'Error with rule' in what is printed."
)

assert found["ann's assessment"] == (["ann"], False, "")
assert found["bea's protection plan"] == ([], True, ""), "protection plans are compared now"
flagged, passed, printed = found["ann's assessment, cay's plan of a child in need"]
assert not flagged, "a late plan of a child in need does not stop the rule now"
assert passed and printed.startswith("Error with rule 8565"), "it is not passed now"
assert found["the same and dee's enquiry"] == (["ann", "cay", "dee"], False, "")
PYTHON
