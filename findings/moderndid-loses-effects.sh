#!/bin/sh
# moderndid with outcome regression leaves out effects where all comparators changed alike.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check moderndid==0.2.0 csdid==0.4.3
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import contextlib
import io
from importlib.metadata import version

import pandas as pd
from csdid.att_gt import ATTgt
from moderndid import aggte, att_gt

# Events in four years; areas 1 to 3 adopt in year 3, areas 4 to 9 never do. In year 3 every
# area that never adopts counts two more than in year 2.
COUNTS = {
    1: (3, 4, 9, 14),
    2: (2, 4, 8, 12),
    3: (4, 4, 9, 15),
    4: (5, 6, 8, 9),
    5: (7, 7, 9, 8),
    6: (6, 8, 10, 12),
    7: (3, 3, 5, 6),
    8: (9, 8, 10, 10),
    9: (4, 6, 8, 7),
}
table = pd.DataFrame(
    [
        {"area": area, "year": year, "first": 3 if area <= 3 else 0, "events": float(count)}
        for area, counts in COUNTS.items()
        for year, count in enumerate(counts, start=1)
    ]
)


def by_moderndid(method):
    with contextlib.redirect_stdout(io.StringIO()):
        cells = att_gt(
            table, yname="events", tname="year", gname="first", idname="area",
            est_method=method, boot=False,
        )
        overall = aggte(cells, type="simple", boot=False).overall_att
    return {int(t): round(float(a), 4) for t, a in zip(cells.times, cells.att_gt)}, overall


change = table.pivot(index="area", columns="year", values="events")
by_hand = {
    year: float((change[year] - change[2])[:3].mean() - (change[year] - change[2])[3:].mean())
    for year in (3, 4)
}
with contextlib.redirect_stdout(io.StringIO()):
    peer = ATTgt(yname="events", gname="first", idname="area", tname="year", data=table)
    peer = peer.fit(est_method="reg", bstrap=False).aggte("simple", bstrap=False)
peer = float(peer.atte["overall_att"])
regression, overall = by_moderndid("reg")
robust, overall_robust = by_moderndid("dr")

print(f"moderndid {version('moderndid')}, csdid {version('csdid')}; 9 areas, 4 years")
print(f"effects by hand:                         {by_hand}, mean {sum(by_hand.values()) / 2:.4f}")
print(f"csdid, est_method='reg':                 mean {peer:.4f}")
print(f"moderndid, est_method='dr':              {robust}, mean {overall_robust:.4f}")
print(f"moderndid, est_method='reg':             {regression}, mean {overall:.4f}")
print(
    "What it means: where all comparators changed by the same number, the regression of their\n"
    "changes fits exactly. moderndid then leaves the effect out, says so in a Python warning only,\n"
    "and averages over the effects that are left. Small counts, and comparators without any event,\n"
    "bring this about."
)

assert abs(sum(by_hand.values()) / 2 - peer) < 1e-9, "csdid differs from the effects by hand"
assert abs(overall_robust - peer) < 1e-6, "doubly robust differs without covariates"
assert 3 in robust and 4 in robust, "the doubly robust effects are not all there"
assert 3 not in regression and 4 in regression, "the effect of year 3 is there now"
assert abs(overall - by_hand[4]) < 1e-6, "the average is not over the remaining effect"
PYTHON
