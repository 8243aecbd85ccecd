#!/bin/sh
# csc-validator-be-903: rules ask for columns and a code that no return can have, without a word in the report.
# Needs Python 3.9 to 3.11.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check csc-validator-be-903==0.1.17 \
    pandas==1.5.3 numpy==1.24.4
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import contextlib
import importlib
import io
import logging
from importlib.metadata import version

from lac_validator.lac_validator import LacValidator
from lac_validator.report import Report

logging.disable(logging.CRITICAL)
HEADER = "CHILD,SEX,DOB,ETHNIC,UPN,MOTHER,MC_DOB"
EPISODES = (
    "CHILD,DECOM,RNE,LS,CIN,PLACE,PLACE_PROVIDER,DEC,REC,REASON_PLACE_CHANGE,HOME_POST,PL_POST,URN"
)


def asked(year, **tables):
    """Return the validator after a return that ended in March of a year."""
    registry = importlib.import_module(f"lac_validator.rules.lac{year - 1}_{year % 100}").registry
    files = [
        {"name": f"{name}.csv", "description": "This year", "file_content": "\n".join(lines).encode()}
        for name, lines in tables.items()
    ]
    about = {"collectionYear": str(year), "localAuthority": "E08000001"}
    with contextlib.redirect_stdout(io.StringIO()):
        done = LacValidator(about, files, registry)
        report = Report(done.ds_results, registry).report
    return done, {c.removeprefix("ERR_") for c in report.columns if c.startswith("ERR_")}


# An order that deprives of liberty in a secure home (K1); an asylum-seeking child of six.
done, reported = asked(
    2027,
    header=[HEADER, "ann,F,01/02/2012,WBRI,,,", "bea,F,01/05/2020,WBRI,,,"],
    episodes=[
        EPISODES,
        "ann,01/06/2026,S,C2,N1,K1,PR1,,,,,,",
        "bea,01/06/2026,S,V2,N1,U4,PR1,,,,,,",
    ],
    uasc=["CHILD,SEX,DOB,DUC", "bea,F,01/05/2020,"],
    dolo=["CHILD,DOB,DOLO_START,DOLO_END", "ann,01/02/2012,01/07/2026,01/09/2026"],
)
print(f"csc-validator-be-903 {version('csc-validator-be-903')}, rules of 2026-27")
never = {"231": "UASC_STATUS", "709": "PLACEMENT", "710": "PLACEMENT"}
for rule, column in never.items():
    print(
        f"  {rule} ({done.registry[rule].message[:48]}...): asks for {column}; among those "
        f"that failed to run {rule in done.fails}, skipped {rule in done.skips}, reported "
        f"{rule in reported}"
    )
ran = {"done": len(done.dones), "skipped": len(done.skips), "failed": sorted(done.fails)}
print(f"  all rules: {ran}")

# A placement in supported accommodation, whose code the rules of 2024-25 know (371 asks the age).
codes = {}
for year in (2025, 2026):
    supported, reported = asked(
        year,
        header=[HEADER, "cay,M,01/02/2008,WBRI,,,"],
        episodes=[EPISODES, "cay,01/06/2024,S,V2,N1,K3,PR4,,,,,,"],
    )
    codes[year] = "146" in reported
    print(f"  return of {year - 1}-{year % 100}, placement K3: 146 (code not valid) {codes[year]}")
print(
    "What it means: the return has PLACE, and the reader tells asylum-seeking children in UASC. A\n"
    "rule that asks for another name stops with an error, which is in the log and in 'fails', not\n"
    "in the report nor in the two lists that the command prints: it looks like a rule that found\n"
    "nothing. Rule 146 of 2024-25 allows 'k3', but the reader makes all text upper case, so every\n"
    "child in supported accommodation is refused; rules of the year after allow K3."
)

assert set(never) <= set(done.fails), "the rules run on a return now"
assert not set(never) & (set(done.skips) | set(done.dones)), "they are told of now"
assert codes == {2025: True, 2026: False}, "K3 is judged otherwise now"
PYTHON
