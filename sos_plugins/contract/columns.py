"""The columns of cases, samples and results, in words; the glossary shows them."""

from __future__ import annotations

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

CALENDAR = "calendar_period"
"""Column of a stacked sample with the period of a case in the calendar, where ``period`` counts
from the window of the matched group."""

KNOWN_COLUMNS = frozenset(
    {
        *SAMPLE_COLUMNS,
        *COMPRESSED_COLUMNS,
        *("case", "event", "child", "date", "follow_up_end", CALENDAR),
    }
)
"""Columns of a sample that are not a user's own."""

RESERVED_COLUMNS = KNOWN_COLUMNS | {"n_cases", "weight_squares", "value_sums", "D"}
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

PILOT_EFFECT_COLUMNS: dict[str, str] = {
    "unit": "pilot authority",
    "name": "its name, or its code where it has none",
    "estimate": "effect in this pilot alone, in the units of the value",
    "std_error": "its standard error",
    "conf_low": "lower end of the interval of this pilot alone; missing where there is none",
    "conf_high": "upper end of it",
}
"""Columns of ``PilotEffects.frame``: one row a pilot."""

POOLED_PILOT_COLUMNS: dict[str, str] = {
    **PILOT_EFFECT_COLUMNS,
    "weight": "share of the pilot in the pooled effect; all add up to 1",
    "shrunken": "effect in this pilot in the light of all: drawn towards the pooled effect",
    "shrunken_std_error": "standard error of that",
    "shrunken_low": "lower end of the interval of that",
    "shrunken_high": "upper end of it",
}
"""Columns of ``PooledEffects.pilots``: one row a pilot."""

GLANCE_COLUMNS: dict[str, str] = {
    "n_cases": "cases used",
    "n_units": "units used",
    "n_treated_units": "treated units used",
    "n_clusters": "clusters used",
    "n_periods": "periods used",
    "estimand": "what the headline term estimates, in words",
    "vcov": "variance estimator, such as CR2; none where the engine has no standard errors",
    "conf_level": "confidence level of the intervals",
}
"""Glossary of ``Estimate.glance``: the keys every estimator gives; an estimator may add others."""

ON_THE_TREATED = "average effect on the treated over their treated periods"
"""The estimand of most headline terms: two runs whose ``estimand`` reads alike are compared."""
OVER_EVENT_TIMES = "average over times since adoption of the effect on the treated"
"""The same with every time since adoption counted alike, however many were treated then."""

FURTHER_GLANCE_COLUMNS: dict[str, str] = {
    "estimand_if": "what must hold for the headline term to be that",
    "band_critical": "half the width of the band in standard errors",
    "no_std_error": "why this engine has no standard errors; a cross-check compares estimates then",
    "n_imputations": "completed data sets whose estimates were pooled; absent without imputation",
    "leads_pooled": "how the joint tests of completed data sets were pooled: D1 or D2",
    "leads_test": "joint test of the leads: AHT, Hotelling or Wald",
    "leads_tested": "event times of the leads in that test",
    "leads_statistic": "its F statistic; missing without a test",
    "leads_df_num": "number of leads in it",
    "leads_df_den": "its denominator degrees of freedom",
    "leads_p_value": "p value of the test that these leads are all zero",
}
"""Further keys of ``Estimate.glance`` that some estimates have."""
