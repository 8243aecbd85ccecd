"""The contract of an imputer, and gaps that only one value can fill."""

import pytest

from sos_plugins.authors import testing

plugin = testing.plugin_beside(__file__, "plugin.py")


@pytest.mark.parametrize("check", testing.imputer_checks(plugin.NewImputer()), ids=str)
def test_contract(check: testing.Check) -> None:
    check()


def test_an_authority_with_one_known_value_gets_that() -> None:
    task = testing.example_imputation_task()
    first = task.frame["unit"] == task.frame["unit"].iloc[0]
    frame = task.frame.copy()
    frame.loc[first & frame["age"].notna(), "age"] = 7.0
    imputed = plugin.fit(type(task)(frame, task.covariates), plugin.NewImputerSettings(sets=3))
    own = imputed.values["age"].loc[frame.index[first & frame["age"].isna()]]
    assert (own == 7.0).to_numpy().all()
