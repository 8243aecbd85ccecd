"""The manifest: what a result rests on, so that it can be made again."""

from __future__ import annotations

import datetime as dt
import hashlib
import platform
from typing import Any

from sos_plugins import r
from sos_plugins.kinds import distribution_version
from sos_plugins.plugins import Registry
from sos_plugins.types import Records

PACKAGES = (
    "sos-plugins",
    "differences",
    "duckdb",
    "holidays",
    "ibis-framework",
    "lxml",
    "numpy",
    "pandas",
    "pluggy",
    "pydantic",
    "rpy2",
    "scikit-learn",
    "scipy",
)
R_PACKAGES = ("sandwich", "clubSandwich", "MatchIt", "did", "fixest")


def manifest(registry: Registry, records: Records, study_text: str, seed: int) -> dict[str, Any]:
    """Return when, with what, from what and by which plugins a result was made."""
    versions = {"Python": platform.python_version()}
    versions |= {name: distribution_version(name) for name in PACKAGES}
    if r.available():
        versions |= {k if k == "R" else f"R {k}": v for k, v in r.versions(R_PACKAGES).items()}
    else:
        versions["R"] = "not available"
    return {
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "data_hash": records.data_hash,
        "files": list(records.files),
        "data_start": records.start.isoformat() if records.start else None,
        "data_end": records.end.isoformat() if records.end else None,
        "study_hash": hashlib.sha256(study_text.encode()).hexdigest(),
        "versions": versions,
        "plugins": [
            {"name": p.name, "version": p.version, "distribution": p.distribution}
            for p in registry.plugins.values()
        ],
        "plugins_toml": str(registry.config_path.name) if registry.config_path else None,
        "platform": platform.platform(),
    }
