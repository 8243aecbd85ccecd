#!/bin/sh
# csc-validator-be-903 asks for the age at a placement only once that placement has ended.
# Needs Python 3.9 to 3.11.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check csc-validator-be-903==0.1.17 \
    pandas==1.5.3 numpy==1.24.4
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import contextlib
import io
import logging
from importlib.metadata import version

from lac_validator.lac_validator import LacValidator
from lac_validator.rules.lac2026_27 import registry

logging.disable(logging.CRITICAL)
HEADER = "CHILD,SEX,DOB,ETHNIC,UPN,MOTHER,MC_DOB"
EPISODES = (
    "CHILD,DECOM,RNE,LS,CIN,PLACE,PLACE_PROVIDER,DEC,REC,REASON_PLACE_CHANGE,HOME_POST,PL_POST,URN"
)
# Children born in 2024 in placements for older ones, one still there, one that left.
PLACES = {"371": "K3", "372": "R5", "373": "S1", "374": "P3"}
header, episodes = [HEADER], [EPISODES]
for rule, place in PLACES.items():
    for state, end in (("open", ","), ("ended", "01/02/2027,E13")):
        child = f"{rule} {state}"
        header.append(f"{child},F,01/05/2024,WBRI,,,")
        episodes.append(f"{child},01/06/2026,S,C2,N1,{place},PR4,{end},,,,")
files = [
    {"name": f"{name}.csv", "description": "This year", "file_content": "\n".join(lines).encode()}
    for name, lines in (("header", header), ("episodes", episodes))
]
about = {"collectionYear": "2027", "localAuthority": "E08000001"}
with contextlib.redirect_stdout(io.StringIO()):
    done = LacValidator(about, files, registry, list(PLACES))
table = done.ds_results["Episodes"]

print(f"csc-validator-be-903 {version('csc-validator-be-903')}, rules of 2026-27, children of two")
flagged = {}
for rule in PLACES:
    rows = table.reindex(columns=["CHILD", f"ERR_{rule}"]).set_index("CHILD")[f"ERR_{rule}"]
    flagged[rule] = [child.lower() for child in rows.index[rows.eq(True)]]
    print(f"  {rule} ({registry[rule].message}): flagged {flagged[rule]}")
print(
    "What it means: the messages and the affected columns speak of the placement and its start\n"
    "alone, but rows without an end date are left out before the age is asked. A child who is still\n"
    "there on 31 March is never asked about, and the fault comes to light in the return of the year\n"
    "in which the child leaves. Ask for the age at the start of each episode."
)

assert sorted(done.dones) == sorted(PLACES)
for rule in PLACES:
    assert f"{rule} open" not in flagged[rule], f"{rule} asks open episodes now"
    assert flagged[rule] == [f"{rule} ended"], f"{rule} does not flag the ended one"
PYTHON
