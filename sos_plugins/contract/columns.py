"""The record tables that sources write and outcomes read.

Every table is an Ibis table on the session's backend. A source gives the tables it has; an outcome
names the tables and columns it needs. ``unit`` is the authority's three-digit code as text
(``"330"``), ``child`` the authority's own child identifier; the pair is unique to a child within
one authority. A missing value is null, never an empty text or a sentinel.
"""

from __future__ import annotations

import pyarrow as pa

_T, _D, _B, _I, _F = pa.string(), pa.date32(), pa.bool_(), pa.int64(), pa.float64()

TABLES: dict[str, pa.Schema] = {
    # One row a child.
    "children": pa.schema(
        [
            ("unit", _T),
            ("child", _T),
            ("birth_date", _D),  # null for an unborn child
            ("expected_birth_date", _D),
            ("sex", _T),  # "male", "female", "indeterminate" (9) or null (0, unknown)
            ("ethnicity", _T),  # the census code, upper case: WBRI, MWBC, ...
            ("disabled", _B),  # any disability code other than NONE; null if not recorded
            ("uasc", _B),  # unaccompanied asylum-seeking child; null if the source cannot say
        ]
    ),
    # One row a referral (a CIN episode); unit + child + referral_date is unique.
    "referrals": pa.schema(
        [
            ("unit", _T),
            ("child", _T),
            ("referral_date", _D),
            ("referral_source", _T),
            ("primary_need", _T),  # N0-N9
            ("nfa", _B),  # closed with no further action at referral
            ("closure_date", _D),  # null: open at the end of the data
            ("closure_reason", _T),  # RC1-RC9
            ("icpc_date", _D),  # DateOfInitialCPC of the CINdetails module
            ("return_year", _I),  # April-year of the return the row was taken from
        ]
    ),
    "assessments": pa.schema(
        [
            ("unit", _T),
            ("child", _T),
            ("referral_date", _D),
            ("start_date", _D),
            ("review_date", _D),
            ("authorised_date", _D),
        ]
    ),
    "section47s": pa.schema(
        [
            ("unit", _T),
            ("child", _T),
            ("referral_date", _D),
            ("start_date", _D),
            ("icpc_target_date", _D),
            ("icpc_date", _D),
            ("icpc_not_required", _B),
        ]
    ),
    "protection_plans": pa.schema(
        [
            ("unit", _T),
            ("child", _T),
            ("referral_date", _D),
            ("start_date", _D),
            ("end_date", _D),
            ("initial_category", _T),
            ("latest_category", _T),
            ("n_previous", _I),
        ]
    ),
    # One row an episode of being looked after (SSDA903).
    "episodes": pa.schema(
        [
            ("unit", _T),
            ("child", _T),
            ("start_date", _D),  # DECOM
            ("reason_start", _T),  # RNE
            ("legal_status", _T),  # LS
            ("cin", _T),
            ("placement", _T),  # PLACE
            ("placement_provider", _T),
            ("end_date", _D),  # DEC
            ("reason_end", _T),  # REC
            ("period_of_care", _I),  # number within unit + child, 1 = first
        ]
    ),
    # Published statistics: one row an authority, year and measure.
    "published": pa.schema(
        [
            ("unit", _T),
            ("unit_name", _T),
            ("period", _I),  # April-year: 2013 = April 2013 to March 2014
            ("measure", _T),
            ("value", _F),  # null when not published; see symbol
            ("denominator", _F),
            ("symbol", _T),  # z, x, c, low, k, u, ":" where the figure is a symbol; else null
        ]
    ),
    # Statistical neighbours of an authority: rank 1 is the nearest.
    "neighbours": pa.schema(
        [
            ("unit", _T),
            ("neighbour", _T),
            ("rank", _I),
            ("closeness", _T),  # "very close", "close", "somewhat close", "not close"
        ]
    ),
    # A user's own table of cases; any further column is kept as a covariate.
    "cases": pa.schema([("unit", _T), ("period", _I), ("value", _F)]),
}

CASE_COLUMNS: dict[str, str] = {
    "unit": "authority, as text",
    "child": "identifier of the child within the authority, or null",
    "date": "date the case enters: referral, assessment start, start of care; null for panels",
    "follow_up_end": "date by which the value is known (date + follow-up); null for panels",
    "period": "April-year of date: 2008 = April 2008 to March 2009 (or the period of a panel)",
    "value": "the outcome, a number; 0/1 for a binary outcome",
}
"""Columns that every table of cases has, before its covariates."""

ROLE_COLUMNS: dict[str, str] = {
    "id": "identifier of a panel's unit of observation",
    "weight": "sampling weight of the case",
    "cluster": "what standard errors are clustered by, where it is not the unit",
}
"""Columns that cases may have beside their covariates."""

SAMPLE_COLUMNS: dict[str, str] = {
    "unit": "authority, as text",
    "period": "period of the case, a whole number",
    "cohort": "first treated period of the unit; 0 = never treated",
    "value": "the outcome",
    "weight": "analysis weight, 1 if none",
    "id": "identifier of a panel's unit of observation; absent in a repeated cross-section",
    "cluster": "what standard errors are clustered by; the unit unless told otherwise",
    "group": "matched group (the pilot's unit); absent without matched groups",
    "treated": "1 for cases of pilots, 0 for comparators",
    "post": "1 after the embedding window (or from the cohort's first period on), 0 before",
}
"""Columns of the frame that estimators take; covariates follow under their own names."""

COMPRESSED_COLUMNS = ("_cases", "_weight_squares", "_value_sums")
"""Columns that only a compressed sample has: how many cases a row stands for, the sum of their
squared weights and the sum of their values without weights."""

RESERVED_COLUMNS = frozenset(
    {
        *SAMPLE_COLUMNS,
        *COMPRESSED_COLUMNS,
        *("case", "event", "child", "date", "follow_up_end"),
        *("n_cases", "weight_squares", "value_sums", "D"),
    }
)
"""Names that covariates may not have: samples and estimators make columns of these names."""

TIDY_COLUMNS: dict[str, str] = {
    "term": "what is estimated: ATT, event=-2, ATT(2004,2006), cohort=2004, calendar=2006, overall",
    "estimate": "point estimate, in the units of the value",
    "std_error": "standard error; missing where none exists (a reference period)",
    "statistic": "estimate / std_error",
    "p_value": "two-sided p value",
    "conf_low": "lower end of the confidence interval at the level in glance",
    "conf_high": "upper end of the confidence interval",
    "df": "degrees of freedom of the reference distribution; inf for the normal",
}
"""Glossary of the columns of ``Estimate.tidy``: one row a term."""

BAND_COLUMNS: dict[str, str] = {
    "band_low": "lower end of the band that holds all terms at once; missing for terms out of it",
    "band_high": "upper end of that band",
}
"""Further columns of ``Estimate.tidy`` where a simultaneous band is asked for."""

GLANCE_COLUMNS: dict[str, str] = {
    "n_cases": "cases used",
    "n_units": "units used",
    "n_treated_units": "treated units used",
    "n_clusters": "clusters used",
    "n_periods": "periods used",
    "estimand": "what the headline term estimates, in words",
    "vcov": "variance estimator, such as CR2",
    "conf_level": "confidence level of the intervals",
}
"""Glossary of ``Estimate.glance``: the keys every estimator gives; an estimator may add others."""

FURTHER_GLANCE_COLUMNS: dict[str, str] = {
    "band_critical": "half the width of the band in standard errors",
    "no_std_error": "why this engine has no standard errors; a cross-check compares estimates then",
    "leads_test": "joint test of the leads: AHT or Wald",
    "leads_tested": "event times of the leads in that test",
    "leads_statistic": "its F statistic; missing without a test",
    "leads_df_num": "number of leads in it",
    "leads_df_den": "its denominator degrees of freedom",
    "leads_p_value": "p value of the test that these leads are all zero",
}
"""Further keys of ``Estimate.glance`` that some estimates have."""

PROVENANCE_COLUMNS: dict[str, str] = {
    "estimator": "name of the estimator",
    "engine": "name of the engine",
    "plugin": "plugin that offers the engine",
    "version": "version of the distribution that ships the plugin",
    "options": "every argument of the method, defaults filled in",
    "packages": "versions of Python, R and the packages the engine used",
    "seed": "seed of random draws, or null",
    "data_hash": "SHA-256 of the sample",
    "citation": "the paper of the method",
}
"""Glossary of ``Estimate.provenance``."""
