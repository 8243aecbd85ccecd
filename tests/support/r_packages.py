"""Packages of R that tests need beside R itself."""

from __future__ import annotations

import os

import pytest

from sos_plugins.r import client as r


def need_matchit() -> str:
    """Return the version of MatchIt; skip without it, fail where R must be whole."""
    version = r.versions(["MatchIt"])["MatchIt"]
    if version == "not installed":
        reason = "the R package MatchIt is not installed (sudo apt-get install r-cran-matchit)"
        if os.environ.get("SOS_REQUIRE_R") == "1":
            pytest.fail(f"SOS_REQUIRE_R=1, but {reason}", pytrace=False)
        pytest.skip(reason)
    return version
