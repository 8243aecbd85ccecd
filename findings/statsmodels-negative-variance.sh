#!/bin/sh
# combine_effects of statsmodels takes a negative variance between studies, and narrows with it.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check statsmodels==0.15.0 pandas==3.1.1
"$folder/venv/bin/python" -W ignore - 2>"$folder/progress" <<'PYTHON' || { cat "$folder/progress" >&2; exit 1; }
from importlib.metadata import version

import numpy as np
from statsmodels.stats.meta_analysis import combine_effects

# Four studies with nearly the same effect, each with a standard error of 1.
effects, variances = np.array([1.0, 1.1, 0.9, 1.05]), np.ones(4)

print(f"statsmodels {version('statsmodels')}")
found = {}
for method in ("iterated", "chi2"):
    pooled = combine_effects(effects, variances, method_re=method)
    table = pooled.summary_frame()
    error = {name: float(table.loc[name, "sd_eff"]) for name in ("fixed effect", "random effect")}
    found[method] = float(pooled.tau2), error
    print(f"{method:9} variance between studies {float(pooled.tau2):7.4f}, standard errors {error}")
print(
    "What it means: method_re='chi2' is DerSimonian and Laird, whose variance is set to zero where the\n"
    "formula gives a negative one. Here it stays negative and is taken off the studies' own variances,\n"
    "so that random effects, which can only add doubt, give an interval twelve times as narrow as one\n"
    "effect for all. Where it takes off more than a study's variance, weights turn negative."
)

assert found["iterated"][0] == 0, "the iterated estimate is no longer zero"
assert found["chi2"][0] < 0, "the variance is set to zero now"
common, random = found["chi2"][1]["fixed effect"], found["chi2"][1]["random effect"]
assert random < common / 10, "the interval of random effects is no longer narrower"
PYTHON
