"""Holds the validation rules against two open validators, each in an environment of its own.

    python -m venv lac && lac/bin/pip install csc-validator-be-903==0.1.17
    python -m venv cin && cin/bin/pip install csc-validator-be-cin==0.1.13 "numpy<2"
    PYTHONPATH=tests/support python benchmarks/validators.py lac/bin/python cin/bin/python

Both judge the boundary rows of the tests, a return a case, and random returns. Rules whose rows at
fault differ are printed with the cases in which they do; docs/validation-rules.md says why.
"""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cin_cases
import numpy as np
import ssda903_cases
from rule_helpers import Rows, broken
from sos_sources.rules.cin import CinRules, CinRulesSettings
from sos_sources.rules.ssda903 import Ssda903Rules, Ssda903RulesSettings

from sos_plugins import RecordRule, Session

N_RANDOM = 300
COLUMNS = {
    "Episodes": {
        "DECOM": "start_date",
        "RNE": "reason_start",
        "LS": "legal_status",
        "CIN": "cin",
        "PLACE": "placement",
        "PLACE_PROVIDER": "placement_provider",
        "DEC": "end_date",
        "REC": "reason_end",
    },
    "DoLo": {"DOLO_START": "start_date", "DOLO_END": "end_date"},
    "CINdetails": {
        "CINreferralDate": "referral_date",
        "PrimaryNeedCode": "primary_need",
        "CINclosureDate": "closure_date",
        "ReasonForClosure": "closure_reason",
        "DateOfInitialCPC": "icpc_date",
        "ReferralNFA": "nfa",
    },
    "Assessments": {
        "AssessmentActualStartDate": "start_date",
        "AssessmentAuthorisationDate": "authorised_date",
    },
    "Section47": {
        "S47ActualStartDate": "start_date",
        "DateOfInitialCPC": "icpc_date",
        "ICPCnotRequired": "icpc_not_required",
    },
    "ChildProtectionPlans": {
        "CPPstartDate": "start_date",
        "CPPendDate": "end_date",
        "NumberOfPreviousCPP": "n_previous",
    },
}
"""Columns of the validators' tables, and those of record tables."""
TABLES_903 = {"Episodes": "episodes", "DoLo": "deprivation_orders"}
TABLES_CIN = {
    "CINdetails": "referrals",
    "Assessments": "assessments",
    "Section47": "section47s",
    "ChildProtectionPlans": "protection_plans",
}
ASKED_903 = """
import importlib, json, sys, logging
import pandas as pd
logging.disable(logging.CRITICAL)
from lac_validator.datastore import copy_datastore
registry = importlib.import_module("lac_validator.rules.lac2026_27").registry
told = []
for case in json.load(open(sys.argv[1])):
    tables = {name: rows for name, rows in case["tables"].items() if rows}
    frames = {name: pd.DataFrame(rows, dtype=object) for name, rows in tables.items()}
    for frame in frames.values():
        frame[frame.isna()] = pd.NA
    frames["metadata"] = case["metadata"]
    found = {}
    for code in case["rules"]:
        if code not in registry:
            continue
        own = {k: v.copy(deep=True) if k != "metadata" else v for k, v in frames.items()}
        if code in ("709", "710") and "Episodes" in own:
            own["Episodes"]["PLACEMENT"] = own["Episodes"]["PLACE"]
        try:
            result = registry[code].func(own)
        except Exception as error:
            found[code] = f"{type(error).__name__}: {error}"
            continue
        found[code] = {
            name: [case["tables"][name][int(i)]["CHILD"] for i in set(rows)]
            for name, rows in result.items()
        }
    told.append(found)
print(json.dumps(told))
"""
ASKED_CIN = """
import copy, importlib, json, sys, warnings
import pandas as pd
warnings.simplefilter("ignore")
from cin_validator.cin_validator import CinValidator, process_data
registry = importlib.import_module("cin_validator.rules.cin2026_27").registry
told = []
for case in json.load(open(sys.argv[1])):
    heads = case["columns"]
    frames = process_data(
        {
            name: pd.DataFrame(rows, columns=heads[name], dtype=object)
            for name, rows in case["tables"].items()
        }
    )
    found = {}
    for code in case["rules"]:
        if code not in registry:
            continue
        try:
            out = CinValidator(copy.deepcopy(frames), registry, selected_rules=[code]).full_issue_df
        except Exception as error:
            found[code] = f"{type(error).__name__}: {error}"
            continue
        pairs = out[["tables_affected", "child_id", "row_id"]].drop_duplicates()
        by = {}
        for table, child, _ in pairs.itertuples(index=False):
            by.setdefault(str(table), []).append(child)
        found[code] = by
    told.append(found)
print(json.dumps(told))
"""


def cell(value: Any, form: str) -> Any:
    """Return a value as the validators read it."""
    if value is None:
        return None
    if isinstance(value, dt.date):
        return value.strftime(form)
    if isinstance(value, bool):
        return "1" if value else "0"
    return value


def rows_903(children: Mapping[str, Rows]) -> dict[str, list[dict[str, Any]]]:
    """Return the tables of one return of looked-after children."""
    tables: dict[str, list[dict[str, Any]]] = {"Header": [], "Episodes": [], "DoLo": []}
    uk = "%d/%m/%Y"
    for child, rows in children.items():
        person = {"birth_date": ssda903_cases.BORN, **next(iter(rows.get("children", ())), {})}
        birth = cell(person["birth_date"], uk)
        status = {"UASC": cell(person.get("uasc"), uk), "UASC_STATUS": cell(person.get("uasc"), uk)}
        tables["Header"].append(
            {"CHILD": child, "SEX": "M", "DOB": birth, "ETHNIC": "WBRI", **status}
        )
        for name, ours in TABLES_903.items():
            for row in rows.get(ours, ()):
                told = {theirs: cell(row.get(c), uk) for theirs, c in COLUMNS[name].items()}
                extra = {"DOB": birth} if name == "DoLo" else {"PL_POST": "AB1 2CD", "URN": "X"}
                tables[name].append({"CHILD": child, **told, **extra})
    return tables


def rows_cin(children: Mapping[str, Rows], end: dt.date) -> dict[str, list[dict[str, Any]]]:
    """Return the tables of one return of children in need."""
    iso = "%Y-%m-%d"
    tables: dict[str, list[dict[str, Any]]] = {name: [] for name in HEADS_CIN}
    tables["Header"] = [{"ReferenceDate": str(end), "Year": str(end.year), "LEA": "330"}]
    for child, rows in children.items():
        person = {"birth_date": dt.date(2010, 1, 1), **next(iter(rows.get("children", ())), {})}
        sex = {"male": "M", "female": "F"}.get(person.get("sex", ""), "U")
        tables["ChildIdentifiers"].append(
            {
                "LAchildID": child,
                "PersonBirthDate": cell(person["birth_date"], iso),
                "ExpectedPersonBirthDate": cell(person.get("expected_birth_date"), iso),
                "Sex": sex,
            }
        )
        tables["ChildCharacteristics"].append({"LAchildID": child, "Ethnicity": "WBRI"})
        if person.get("disabled") is not None:
            tables["Disabilities"].append({"LAchildID": child, "Disability": "NONE"})
        cases = {
            row["referral_date"]: f"{n + 1}" for n, row in enumerate(rows.get("referrals", ()))
        }
        for name, ours in TABLES_CIN.items():
            for n, row in enumerate(rows.get(ours, ())):
                told = {theirs: cell(row.get(c), iso) for theirs, c in COLUMNS[name].items()}
                which = (
                    cases.get(row.get("referral_date"), "0") if name != "CINdetails" else str(n + 1)
                )
                own = {"CPPID": f"{n}"} if name == "ChildProtectionPlans" else {}
                tables[name].append({"LAchildID": child, "CINdetailsID": which, **told, **own})
    return tables


HEADS_CIN = {
    "Header": ["ReferenceDate", "Year", "LEA"],
    "ChildIdentifiers": [
        *("LAchildID", "UPN", "FormerUPN", "UPNunknown", "PersonBirthDate"),
        *("ExpectedPersonBirthDate", "GenderCurrent", "Sex", "PersonDeathDate"),
    ],
    "ChildCharacteristics": ["LAchildID", "Ethnicity"],
    "Disabilities": ["LAchildID", "Disability"],
    "CINdetails": [
        *("LAchildID", "CINdetailsID", "CINreferralDate", "ReferralSource", "PrimaryNeedCode"),
        *("CINclosureDate", "ReasonForClosure", "DateOfInitialCPC", "ReferralNFA"),
    ],
    "Assessments": [
        *("LAchildID", "CINdetailsID", "AssessmentActualStartDate", "AssessmentInternalReviewDate"),
        *("AssessmentAuthorisationDate", "AssessmentFactors"),
    ],
    "AssessmentFactorsList": ["LAchildID", "CINdetailsID", "AssessmentFactor"],
    "CINplanDates": ["LAchildID", "CINdetailsID", "CINPlanStartDate", "CINPlanEndDate"],
    "Section47": [
        *("LAchildID", "CINdetailsID", "S47ActualStartDate", "InitialCPCtarget"),
        *("DateOfInitialCPC", "ICPCnotRequired"),
    ],
    "ChildProtectionPlans": [
        *("LAchildID", "CINdetailsID", "CPPID", "CPPstartDate", "CPPendDate"),
        *("InitialCategoryOfAbuse", "LatestCategoryOfAbuse", "NumberOfPreviousCPP"),
    ],
    "Reviews": ["LAchildID", "CINdetailsID", "CPPID", "CPPreviewDate"],
}


def ask(python: str, program: str, cases: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Judge returns with a validator in its own environment."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "cases.json"
        file.write_text(json.dumps(cases))
        done = subprocess.run(
            [python, "-c", program, str(file)], capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return list(json.loads(done.stdout.splitlines()[-1]))


@dataclass(frozen=True)
class Collection:
    """What is compared of one of the two collections.

    Attributes:
        name: Its name.
        python: The interpreter that has the validator.
        program: What asks it.
        prefix: What the names of rules begin with.
        rules: The rules.
        tables: Record tables by the names that the validator has for them.
        write: Gives the validator's tables of some children, for a return that ends on a day.
    """

    name: str
    python: str
    program: str
    prefix: str
    rules: Sequence[RecordRule]
    tables: Mapping[str, str]
    write: Callable[[Mapping[str, Rows], dt.date], dict[str, list[dict[str, Any]]]]

    def compare(self, children: Mapping[str, Rows], start: dt.date, end: dt.date) -> list[str]:
        """Return a line for each rule on which the two differ.

        A child whose name begins with the name of a rule is a case of that rule alone.
        """
        numbers = sorted({rule.name.removeprefix(self.prefix) for rule in self.rules})
        (theirs,) = ask(self.python, self.program, [self._return(children, numbers, start, end)])
        ours = broken(children, self.rules, Session(), start=start, end=end)
        lines = []
        for number in numbers:
            name = f"{self.prefix}{number}"
            told = theirs.get(number, theirs.get(f"{number}Q", "no such rule"))
            own = {c for c in children if not c.startswith(self.prefix) or c.split()[0] == name}
            if not own:
                continue
            if isinstance(told, str):
                lines.append(f"{number} cannot be asked: {told}")
                continue
            tables = {rule.table for rule in self.rules if rule.name == name}
            found = [told[table] for table in told if self.tables.get(table) in tables]
            there = Counter(child for part in found for child in part)
            differ = [
                f"{c.removeprefix(name).strip()}: here {ours[c].count(name)}, there {there[c]}"
                for c in sorted(own)
                if ours[c].count(name) != there[c]
            ]
            if differ:
                lines.append(
                    f"{number} differs for {len(differ)} children: {'; '.join(differ[:5])}"
                )
        return lines

    def _return(
        self, children: Mapping[str, Rows], numbers: Sequence[str], start: dt.date, end: dt.date
    ) -> dict[str, Any]:
        return {
            "tables": self.write(children, end),
            "columns": HEADS_CIN,
            "rules": [*numbers, *(f"{number}Q" for number in numbers)],
            "metadata": {
                "collection_start": start.strftime("%d/%m/%Y"),
                "collection_end": end.strftime("%d/%m/%Y"),
                "collectionYear": str(end.year),
            },
        }


def main(lac: str, cin: str) -> None:
    """Compare both collections, on the boundary rows and on random ones."""
    care = Collection(
        "Children looked after",
        lac,
        ASKED_903,
        "ssda903:",
        Ssda903Rules().rules(Ssda903RulesSettings(codes_of_years=False)),
        {**TABLES_903, "Header": "children"},
        lambda children, _: rows_903(children),
    )
    need = Collection(
        "Children in need",
        cin,
        ASKED_CIN,
        "cin:",
        CinRules().rules(CinRulesSettings(codes_of_years=False)),
        {**TABLES_CIN, "ChildIdentifiers": "children"},
        rows_cin,
    )
    for one, cases, draw in (
        (care, ssda903_cases.CASES, random_care),
        (need, cin_cases.CASES, random_need),
    ):
        groups: dict[tuple[dt.date, dt.date], dict[str, Rows]] = {}
        for number, some in cases.items():
            for case, (_, rows) in some.items():
                groups.setdefault(spans(rows), {})[f"{number} {case}"] = rows
        for (start, end), children in groups.items():
            print(f"{one.name}, {len(children)} cases at the boundary, to {end}")
            print("".join(f"  {line}\n" for line in one.compare(children, start, end)), flush=True)
        rng = np.random.default_rng(903)
        start, end = dt.date(2025, 4, 1), dt.date(2026, 3, 31)
        children = {f"{n}": draw(rng, start) for n in range(1, N_RANDOM + 1)}
        print(f"{one.name}, {N_RANDOM} random children")
        print("".join(f"  {line}\n" for line in one.compare(children, start, end)), flush=True)


def spans(rows: Rows) -> tuple[dt.date, dt.date]:
    """Return the days that a case covers: those of the tests, or the year of orders."""
    if "deprivation_orders" in rows:
        return dt.date(2026, 4, 1), dt.date(2027, 3, 31)
    return dt.date(2010, 4, 1), dt.date(2019, 3, 31)


def random_care(rng: np.random.Generator, start: dt.date) -> Rows:
    """Draw up to four episodes of a child that mostly follow each other."""
    day, rows = start + dt.timedelta(days=int(rng.integers(0, 60))), []
    for n in range(int(rng.integers(1, 5))):
        end = day + dt.timedelta(days=int(rng.choice([0, 3, 5, 20, 60, 100])))
        last = n == 3 or rng.random() < 0.3
        rows.append(
            {
                "start_date": day,
                "end_date": None if rng.random() < 0.1 else end,
                "reason_start": pick(rng, "SPLTUB") if n else "S",
                "reason_end": pick(rng, ["X1", "E4A", "E12", "E45", "E7", "E17"]),
                "legal_status": pick(rng, ["C1", "C2", "V2", "V3", "V4", "L1", "L2", "J2", "E1"]),
                "cin": pick(rng, ["N1", "N1", "N2"]),
                "placement": pick(
                    rng, ["U1", "U4", "K2", "P1", "T1", "T3", "A3", "A5", "R5", "K3"]
                ),
                "placement_provider": pick(rng, ["PR0", "PR1", "PR3", None]),
            }
        )
        day = end if rng.random() < 0.8 else end + dt.timedelta(days=int(rng.integers(1, 9)))
        if last:
            break
    birth = start - dt.timedelta(days=int(rng.integers(0, 18 * 366)))
    return {"children": [{"birth_date": birth}], "episodes": unique_starts(rows)}


def unique_starts(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Keep one episode a day: records have no two that start together."""
    return list({row["start_date"]: row for row in rows}.values())


def random_need(rng: np.random.Generator, start: dt.date) -> Rows:
    """Draw up to two referrals of a child and what was done on them."""
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES_CIN.values()}

    def later(date: dt.date, most: int) -> dt.date | None:
        return None if rng.random() < 0.2 else date + dt.timedelta(days=int(rng.integers(-2, most)))

    date = start
    for _ in range(int(rng.integers(1, 3))):
        date += dt.timedelta(days=int(rng.integers(0, 90)))
        if any(row["referral_date"] == date for row in rows["referrals"]):
            continue
        closed = later(date, 90)
        own = {"referral_date": date}
        rows["referrals"].append(
            {
                **own,
                "closure_date": closed,
                "closure_reason": pick(rng, [None, "RC7", "RC8", "RC9"]),
                "nfa": bool(rng.random() < 0.2),
                "icpc_date": later(date, 30) if rng.random() < 0.3 else None,
                "primary_need": "N1",
                "return_year": start.year,
            }
        )
        for _ in range(int(rng.integers(0, 3))):
            began = date + dt.timedelta(days=int(rng.integers(-1, 20)))
            rows["assessments"].append(
                {**own, "start_date": began, "authorised_date": later(began, 40)}
            )
        for _ in range(int(rng.integers(0, 3))):
            began = date + dt.timedelta(days=int(rng.integers(-1, 20)))
            held, needless = later(began, 20), bool(rng.random() < 0.4)
            rows["section47s"].append(
                {
                    **own,
                    "start_date": began,
                    "icpc_date": held,
                    "icpc_not_required": needless,
                }
            )
        if rng.random() < 0.5:
            began = date + dt.timedelta(days=int(rng.integers(0, 20)))
            rows["protection_plans"].append(
                {**own, "start_date": began, "end_date": later(began, 60), "n_previous": 0}
            )
    return {"children": [{"birth_date": dt.date(2010, 1, 1), "disabled": False}], **rows}


def pick(rng: np.random.Generator, of: Sequence[Any]) -> Any:
    """Draw one of several values."""
    return of[int(rng.integers(len(of)))]


if __name__ == "__main__":
    main(*sys.argv[1:])
