#!/bin/sh
# ebal says that it converged while a share is far from balanced, by the unit of another column.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check ebal==1.0.0 numpy==1.26.4 pandas==2.2.3
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

import ebal
import numpy as np

# 20 children of a programme, 40 others: income of the household and whether disabled. The
# programme does nothing: the outcome is 10 for disabled children and 0 for others.
treated = np.repeat([1, 0], [20, 40])
disabled = np.concatenate([np.tile([1, 1, 1, 0], 5), np.tile([1, 0, 0, 0], 10)]).astype(float)
income = np.concatenate([9000 + 400 * np.arange(20), 8000 + 300 * np.arange(40)]).astype(float)
outcome = 10 * disabled
others = treated == 0

print(f"ebal {version('ebal')}; of the programme {disabled[~others].mean():.0%} are disabled")
found = {}
for unit, scale in (("pounds", 1), ("thousands of pounds", 1000)):
    columns = np.column_stack([income / scale, disabled])
    answer = ebal.ebal_bin(print_level=-1).ebalance(treated, columns, outcome)
    share = np.average(disabled[others], weights=answer["w"][others])
    effect = float(answer["wls"].params[1])
    found[unit] = (bool(answer["converged"]), float(answer["maxdiff"]), share, effect)
    print(
        f"income in {unit}: converged {found[unit][0]}, maxdiff {found[unit][1]:.1e}, disabled "
        f"among the weighted others {share:.0%}, effect {effect:.2f}"
    )
print(
    "What it means: the columns are replaced by principal components before they are balanced, and\n"
    "components of little variance are dropped. Next to a column of large numbers a share is such\n"
    "a component: it is not balanced, 'converged' and 'maxdiff' do not speak of it, and the effect\n"
    "is that of the imbalance. PCA=False, or columns of one standard deviation, balance it."
)

converged, difference, share, effect = found["pounds"]
assert converged and difference < 1e-4, "it does not say that it converged"
assert share < 0.5 and effect > 2, "the share is balanced now"
converged, difference, share, effect = found["thousands of pounds"]
assert converged and abs(share - 0.75) < 1e-3 and abs(effect) < 1e-2
PYTHON
