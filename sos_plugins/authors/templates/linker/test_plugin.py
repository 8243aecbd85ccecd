"""The contract of a linker, and links that are known to be true."""

import pytest

from sos_plugins import Session
from sos_plugins.authors import testing

plugin = testing.plugin_beside(__file__, "plugin.py")


@pytest.mark.parametrize("check", testing.linker_checks(plugin.NewLinker()), ids=str)
def test_contract(check: testing.Check) -> None:
    check()


def test_linked_children_are_one() -> None:
    session = Session()
    records = testing.example_moved_children(session)
    found = plugin.NewLinker().link(records, plugin.NewLinkerSettings(), session)
    children = records.table("children").select("unit", "child", "true")
    linked = found.same.inner_join(children, ["unit", "child"]).to_pandas()
    assert len(linked) > 0
    assert (linked.groupby("person")["true"].nunique() == 1).all()
