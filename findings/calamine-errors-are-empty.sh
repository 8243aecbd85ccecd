#!/bin/sh
# python-calamine gives a cell that holds an error, or a formula without a value, as an empty one.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check python-calamine==0.9.1 \
    openpyxl==3.1.5
"$folder/venv/bin/python" - "$folder/pilots.xlsx" <<'PYTHON'
import sys
from importlib.metadata import version

import openpyxl
from python_calamine import CalamineWorkbook

# Authorities and the year in which each began: two looked up, one of them in vain; one never began.
ROWS = [
    ("authority", "first_year"),
    ("Ashby", 2019),
    ("Birch", "#N/A"),
    ("Cole", "=B2+1"),
    ("Dene", None),
]
book = openpyxl.Workbook()
for row in ROWS:
    book.active.append(row)
assert book.active["B3"].data_type == "e" and book.active["B4"].data_type == "f"
book.save(sys.argv[1])

print(f"python-calamine {version('python-calamine')}, openpyxl {version('openpyxl')}")
read = CalamineWorkbook.from_path(sys.argv[1]).get_sheet_by_index(0)
years = {name: year for name, year in read.to_python()[1:]}
lines = {name: year for name, year in list(read.iter_rows())[1:]}
other = dict(openpyxl.load_workbook(sys.argv[1]).active.iter_rows(min_row=2, values_only=True))
for name in other:
    print(f"  {name}: in the workbook {other[name]!r}, to_python() {years[name]!r}")
print(
    "What it means: a table of pilots in which a look-up failed, or that a program wrote and no one\n"
    "has opened since, is read without a word as if those authorities had never begun: pilots\n"
    "become comparators. Nothing in what is read tells the three kinds of cell apart. Look in\n"
    "the file for cells of type 'e' and formulas without a value before you trust the empty ones."
)

assert other == {"Ashby": 2019, "Birch": "#N/A", "Cole": "=B2+1", "Dene": None}
assert years == lines == {"Ashby": 2019.0, "Birch": "", "Cole": "", "Dene": ""}
PYTHON
