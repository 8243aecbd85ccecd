"""Packages of R that tests need beside R itself."""

from __future__ import annotations

import os

import pytest

from sos_plugins.r import client as r


def need_matchit() -> str:
    """Return the version of MatchIt; skip without it, fail where R must be whole."""
    return _need("MatchIt", "r-cran-matchit")


def need_metafor() -> str:
    """Return the version of metafor; skip without it, fail where R must be whole."""
    return _need("metafor", "r-cran-metafor")


def need_mice() -> str:
    """Return the version of mice; skip without it or its multinomial logit."""
    _need("nnet", "r-cran-nnet")
    return _need("mice", "r-cran-mice")


def need_mitml() -> str:
    """Return the version of mitml; skip without it, fail where R must be whole."""
    return _need("mitml", "r-cran-mitml")


def _need(package: str, debian: str) -> str:
    version = r.versions([package])[package]
    if version == "not installed":
        reason = f"the R package {package} is not installed (sudo apt-get install {debian})"
        if os.environ.get("SOS_REQUIRE_R") == "1":
            pytest.fail(f"SOS_REQUIRE_R=1, but {reason}", pytrace=False)
        pytest.skip(reason)
    return version
