"""The data of the package did (Callaway and Sant'Anna 2021), and what it gives of them."""

from __future__ import annotations

import pandas as pd
from clean_environment import REPOSITORY

MPDTA = REPOSITORY / "tests" / "reference" / "mpdta.csv"
COLUMNS = {
    "unit": "countyreal",
    "period": "year",
    "cohort": "first.treat",
    "value": "lemp",
    "id": "countyreal",
}
OPTIONS = (
    "control=nevertreated;est=reg;x=none;base=varying;anticipation=0;weights=none;cluster=unit"
)
SAME = 1e-9
"""R's did adds up in another order."""


def stored_effects() -> pd.DataFrame:
    """Return what ``aggte(type = "dynamic")`` gave: estimates and errors by our names of terms."""
    stored = pd.read_csv(MPDTA.with_name("reference_shared.csv"))
    rows = stored.query("data == 'mpdta' and method == 'agg_dynamic' and options == @OPTIONS")
    return rows.assign(term=rows["term"].str.replace("dynamic", "event")).set_index("term")
