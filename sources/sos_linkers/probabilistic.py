"""Children without a pupil number linked by what is known of them: Fellegi and Sunter's model.

Splink computes it (Linacre and others 2022), in a DuckDB of its own wherever the records live. Only
pairs of two authorities that agree in the birth date, or have day and month the other way round,
can be one child here: no records of children hold names, and nothing else tells one of thousands.
Within an authority its own identifier decides, since twins agree in everything that is compared.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pydantic import Field

from sos_linkers.children import Children, Ints, children_of
from sos_linkers.identifiers import (
    IdentifierSettings,
    by_identifiers,
    figures_of,
    sentence,
)
from sos_plugins import Link, Linker, Records, Requirement, Session, hookimpl
from sos_plugins.contract.types import WEIGHT_COLUMNS
from sos_plugins.errors import DataError, did_you_mean

if TYPE_CHECKING:
    import splink

SPLINK = Requirement("python", "splink", 'pip install "sos-plugins[link]"', "5")
FEWEST_LABELS = 50
"""Pairs that pupil numbers tell from which on the model is learnt from them."""
CHECKED = 200_000
"""Children with a pupil number on which links are tried out, about; whole birth dates."""
LEAST_SHARE = 1e-12
"""Share of pairs that are one child where none seems to be."""
PAIRS_SAMPLED = 1e6
"""Pairs at random from which the agreement of two children is learnt."""
BIRTH_UNTAUGHT = (0.97, 0.01, 0.02)
"""Shares of pairs of one child with the same birth date, day and month swapped, and another, where
no pairs teach them."""
MISSING_ETHNICITY = "('REFU', 'NOBT')"
OTHER_PAIR = "l.unit <> r.unit AND l.grp <> r.grp"
UNNUMBERED = f"{OTHER_PAIR} AND (NOT l.numbered OR NOT r.numbered)"


class SplinkSettings(IdentifierSettings):
    """How children are linked that no identifier links."""

    threshold: float = Field(
        0.9,
        gt=0.5,
        lt=1,
        description="Probability from which a pair is one child. A child with two such candidates "
        "in one authority is linked with neither.",
    )
    compare: tuple[str, ...] = Field(
        (),
        description="Further columns of children that are compared, such as a postcode district "
        "(setting extra of the sources); rare values that agree weigh more.",
    )
    recall: float = Field(
        0.7,
        gt=0,
        le=1,
        description="Share of the pairs of one child that agree in birth date, sex and ethnicity; "
        "used only where fewer than 50 pairs with pupil numbers tell how many children move.",
    )


@dataclass(frozen=True)
class Model:
    """What was learnt.

    Attributes:
        settings: The model as Splink writes it.
        taught: Pairs with pupil numbers that it was learnt from; 0 where it taught itself.
    """

    settings: Mapping[str, Any]
    taught: int


class Splink(Linker):
    """Links by identifiers first, and then by probability where one has no pupil number."""

    name = "splink"
    label = "unique pupil numbers, then birth date, sex and ethnicity by probability"
    Settings = SplinkSettings
    requires = (SPLINK,)
    decides = (SPLINK,)
    citation = (
        "Fellegi and Sunter (1969), A theory for record linkage; Linacre and others (2022), "
        "Splink: free software for probabilistic record linkage at scale"
    )

    def link(self, records: Records, settings: SplinkSettings, session: Session) -> Link:
        """Find the children that are one.

        Raises:
            DataError: If the records have no pupil numbers, or a column to compare is not there.
        """
        columns = dict.fromkeys((*settings.pupil_numbers, *settings.compare))
        with children_of(records, tuple(columns), session) as children:
            _refuse_absent(children, settings)
            return _linked(children, settings, session)


def _refuse_absent(children: Children, settings: SplinkSettings) -> None:
    for name in settings.compare:
        if name not in children.further:
            raise DataError(
                f"[link] compare: the table children has no column '{name}'."
                f"{did_you_mean(name, children.further)} Ask the sources for it: extra = "
                f'["{name}"], or leave it out.'
            )


def _linked(children: Children, settings: SplinkSettings, session: Session) -> Link:
    found = by_identifiers(children, settings)
    _prepare(children, settings)
    n_able = children.number("SELECT count(*) FROM people WHERE birth IS NOT NULL AND NOT numbered")
    n_alike = children.number(
        f"SELECT count(*) FROM people l JOIN people r ON l.birth = r.birth AND {UNNUMBERED} "
        "WHERE l.unique_id < r.unique_id"
    )
    figures = {
        **found.figures,
        "children without a valid identifier": children.number(
            "SELECT count(*) FROM people WHERE NOT numbered"
        ),
        "of these with a birth date, to be linked by probability": n_able,
    }
    if not n_alike:
        same = session.table(children.same(found.groups), "same")
        told = f"{sentence(settings)} No other two children could be one by their birth dates."
        return Link(same, figures_of(figures), sentence=told)
    model = _learn(children, settings, session.seed)
    _predict(children, "people", model, settings, UNNUMBERED)
    n_likely = children.number("SELECT count(*) FROM predicted_people")
    pairs = _accepted(children, "people")
    groups, kept = _joined(children, found.groups, pairs)
    warnings, measured = _measured(children, model, settings)
    figures |= {
        "pairs of children at or above the threshold": n_likely,
        "of these with several candidates in one authority, not linked": n_likely - len(pairs),
        "of these that would make two children of an authority one, not linked": len(pairs)
        - len(kept),
        "links by probability": len(kept),
        "mean probability of these links": float(kept["p"].mean()) if len(kept) else 0.0,
        "children when all that are linked are one": int(pd.Series(groups).nunique()),
        **measured,
        "pairs with pupil numbers that taught the model": model.taught,
    }
    told = (
        f"{sentence(settings)} Children of other authorities, one of them at least without a "
        f"number, are one where Fellegi and Sunter's model gives it a probability of "
        f"{settings.threshold:g} or more and neither has another such candidate there."
    )
    same = session.table(children.same(groups), "same")
    return Link(same, figures_of(figures), weights_of(model, settings), told, warnings)


def _prepare(children: Children, settings: SplinkSettings) -> None:
    """Put ``people`` on the connection: what is compared, and pairs that numbers tell."""
    further = "".join(
        f", nullif(trim(\"{c}\"), '') AS further_{n}" for n, c in enumerate(settings.compare)
    )
    # A number that is shared though birth date and sex both differ is the mistake of a clerk.
    children.con.execute(
        "CREATE TABLE labels AS SELECT min(number) AS label, id FROM numbers JOIN ("
        "SELECT number FROM numbers JOIN children USING (id) GROUP BY number "
        "HAVING count(DISTINCT unit) > 1 AND NOT (count(DISTINCT birth_date) > 1 "
        "AND count(DISTINCT sex) > 1)) USING (number) GROUP BY id"
    )
    children.con.execute(
        "CREATE TABLE people AS SELECT c.id AS unique_id, c.unit, g.grp, l.label, "
        "n.id IS NOT NULL AS numbered, strftime(c.birth_date, '%Y-%m-%d') AS birth, "
        "CASE WHEN day(c.birth_date) <= 12 AND day(c.birth_date) <> month(c.birth_date) "
        "THEN strftime(c.birth_date, '%Y-%d-%m') END AS swapped, "
        "CASE WHEN c.sex IN ('male', 'female') THEN c.sex END AS sex, "
        f"CASE WHEN c.ethnicity NOT IN {MISSING_ETHNICITY} THEN c.ethnicity END AS ethnicity"
        f"{further} FROM children c JOIN by_number g USING (id) "
        "LEFT JOIN (SELECT DISTINCT id FROM numbers) n USING (id) LEFT JOIN labels l USING (id) "
        "ORDER BY c.id"
    )


def _learn(children: Children, settings: SplinkSettings, seed: int) -> Model:
    """Learn how often one child agrees with itself, and with another."""
    con = children.con
    ((threads,),) = con.execute("SELECT current_setting('threads')").fetchall()
    con.execute("SET threads = 1")  # a sample by several threads is another one each time
    pairs = children.number(
        "SELECT count(*) FROM people l JOIN people r USING (label) "
        "WHERE l.unique_id < r.unique_id AND l.unit <> r.unit"
    )
    taught = pairs if pairs >= FEWEST_LABELS else 0
    prior = _share(children, taught) if taught else _share_untaught(children, settings.recall)
    linker = _linker(children, "people", _model(settings, prior, taught=bool(taught)))
    linker.training.estimate_u_using_random_sampling(max_pairs=PAIRS_SAMPLED, seed=seed)
    if taught:
        linker.training.estimate_m_from_label_column("label")
    else:
        _teach_itself(linker)
    model = linker.misc.save_model_to_json(None)
    model["probability_two_random_records_match"] = prior
    con.execute(f"SET threads = {threads}")
    return Model(_without_zeros(model, taught or FEWEST_LABELS), taught)


def _teach_itself(linker: splink.Linker) -> None:
    """Learn from pairs with the same birth date, some of which are one child."""
    from splink.blocking_rule_library import CustomRule

    linker.training.estimate_parameters_using_expectation_maximisation(
        CustomRule(f"l.birth = r.birth AND {UNNUMBERED}"),
    )


def _share(children: Children, pairs: float, among: str = " WHERE numbered") -> float:
    """Return the share of pairs of two authorities that are one child."""
    possible = children.number(
        "SELECT (sum(n) * sum(n) - sum(n * n)) / 2 FROM (SELECT count(*)::HUGEINT AS n "
        f"FROM people{among} GROUP BY unit)"
    )
    return min(max(pairs / max(possible, 1), LEAST_SHARE), 0.5)


def _share_untaught(children: Children, recall: float) -> float:
    """Return that share from what agrees beyond chance, where no numbers tell it."""
    agree = children.number(
        "SELECT count(*) FROM people l JOIN people r ON l.birth = r.birth AND l.sex = r.sex "
        "AND l.ethnicity = r.ethnicity WHERE l.unique_id < r.unique_id AND l.unit <> r.unit"
    )
    beyond = _share(children, agree, among="") - _by_chance(children)
    return min(max(beyond / recall, LEAST_SHARE), 0.5)


def _by_chance(children: Children) -> float:
    """Return the share of pairs of two children that agree in birth date, sex and ethnicity."""
    shares = [
        f"(SELECT sum(n * n) / (sum(n) * sum(n)) FROM (SELECT count(*)::DOUBLE AS n FROM people "
        f"WHERE {c} IS NOT NULL GROUP BY {c}))"
        for c in ("birth", "sex", "ethnicity")
    ]
    ((share,),) = children.con.execute(f"SELECT {' * '.join(shares)}").fetchall()
    return float(share or 0)


def _model(settings: SplinkSettings, prior: float, *, taught: bool) -> Any:
    """Return what is compared, and how."""
    import splink.comparison_level_library as levels
    import splink.comparison_library as comparisons
    from splink import SettingsCreator

    same: list[Any] = [
        levels.ExactMatchLevel("birth"),
        levels.CustomLevel('"birth_l" = "swapped_r"', label_for_charts="Day and month swapped"),
        levels.ElseLevel(),
    ]
    if not taught:
        shares = zip(same, BIRTH_UNTAUGHT, strict=True)
        same = [level.configure(m_probability=m, fix_m_probability=True) for level, m in shares]
    birth = comparisons.CustomComparison(
        output_column_name="birth", comparison_levels=[levels.NullLevel("birth"), *same]
    )
    ethnicity = comparisons.CustomComparison(
        output_column_name="ethnicity",
        comparison_levels=[
            levels.NullLevel("ethnicity"),
            levels.ExactMatchLevel("ethnicity", term_frequency_adjustments=True),
            levels.CustomLevel(
                'substr("ethnicity_l", 1, 1) = substr("ethnicity_r", 1, 1)',
                label_for_charts="Same broad group",
            ),
            levels.ElseLevel(),
        ],
    )
    further = [
        comparisons.ExactMatch(f"further_{n}").configure(term_frequency_adjustments=True)
        for n in range(len(settings.compare))
    ]
    return SettingsCreator(
        link_type="dedupe_only",
        comparisons=[birth, comparisons.ExactMatch("sex"), ethnicity, *further],
        probability_two_random_records_match=prior,
        additional_columns_to_retain=["unit", "grp", "numbered"],
        retain_matching_columns=False,
        linker_uid="children",
    )


def _linker(children: Children, table: str, settings: Any) -> splink.Linker:
    from splink import DuckDBAPI, Linker

    api = DuckDBAPI(children.con)
    return Linker(api.register(table), settings, log_level=logging.ERROR)


def _without_zeros(model: dict[str, Any], taught: float) -> dict[str, Any]:
    """Give agreements that no pair of one child has half a pair: nothing is impossible.

    Those that no pair of two children has say nothing either way.
    """
    least = 0.5 / (taught + 1)
    for comparison in model["comparisons"]:
        levels = [one for one in comparison["comparison_levels"] if not one.get("is_null_level")]
        shares = [max(one.get("m_probability") or 0.0, least) for one in levels]
        for one, share in zip(levels, shares, strict=True):
            one["m_probability"] = share / sum(shares)
            one["u_probability"] = one.get("u_probability") or one["m_probability"]
    return model


def _predict(
    children: Children, table: str, model: Model, settings: SplinkSettings, which: str
) -> None:
    """Put ``predicted_<table>`` on the connection: ``a, b, p``, pairs at or above the threshold."""
    from splink.blocking_rule_library import CustomRule

    rules = [CustomRule(f"l.birth = r.{other} AND {which}") for other in ("birth", "swapped")]
    given = {
        **model.settings,
        "blocking_rules_to_generate_predictions": [
            {
                "blocking_rule": rule.create_blocking_rule_dict("duckdb")["blocking_rule"],
                "sql_dialect": "duckdb",
            }
            for rule in rules
        ],
    }
    linker = _linker(children, table, given)
    predicted = linker.inference.predict(threshold_match_probability=settings.threshold)
    children.con.execute(
        f"CREATE TABLE predicted_{table} AS SELECT least(unique_id_l, unique_id_r) AS a, "
        "greatest(unique_id_l, unique_id_r) AS b, max(match_probability) AS p "
        f"FROM {predicted.physical_name} GROUP BY ALL"
    )


def _accepted(children: Children, table: str) -> pd.DataFrame:
    """Return ``a, b, p`` of pairs in which neither has another candidate in that authority."""
    frame: pd.DataFrame = children.con.execute(
        f"WITH pairs AS (SELECT a, b, p, x.unit AS unit_a, y.unit AS unit_b, x.grp AS grp_a, "
        f"y.grp AS grp_b FROM predicted_{table} JOIN {table} x ON x.unique_id = a "
        f"JOIN {table} y ON y.unique_id = b), "
        "sides AS (SELECT grp_a AS grp, unit_b AS unit, grp_b AS other FROM pairs "
        "UNION ALL SELECT grp_b, unit_a, grp_a FROM pairs), "
        "sure AS (SELECT grp, unit FROM sides GROUP BY grp, unit HAVING count(DISTINCT other) = 1) "
        "SELECT a, b, p FROM pairs JOIN sure s ON s.grp = grp_a AND s.unit = unit_b "
        "JOIN sure t ON t.grp = grp_b AND t.unit = unit_a ORDER BY a, b"
    ).df()
    return frame


def _joined(children: Children, groups: Ints, pairs: pd.DataFrame) -> tuple[Ints, pd.DataFrame]:
    """Join groups by accepted pairs, but where two children of an authority would become one.

    Returns:
        The group of each child, and the pairs that joined them.
    """
    own = pd.DataFrame({"a": groups, "b": range(children.n)})
    joined = children.groups(pd.concat([own, pairs[["a", "b"]]]))
    children.put("joined", {"id": range(children.n), "grp": joined, "before": groups})
    bad = children.con.execute(
        "SELECT DISTINCT grp FROM joined JOIN children USING (id) GROUP BY grp, unit "
        "HAVING count(DISTINCT before) > 1"
    ).fetchnumpy()["grp"]
    kept = pairs[~np.isin(joined[pairs["a"].to_numpy(int)], bad)]
    return children.groups(pd.concat([own, kept[["a", "b"]]])), kept


def _measured(
    children: Children, model: Model, settings: SplinkSettings
) -> tuple[tuple[str, ...], dict[str, float]]:
    """Try the links out on children with pupil numbers, as if these had none."""
    if not model.taught:
        return (
            "Too few pairs of children have pupil numbers to tell how many links by probability "
            "are right: their precision is that of the model alone.",
        ), {}
    con = children.con
    n = children.number("SELECT count(*) FROM people WHERE numbered AND birth IS NOT NULL")
    part = max(math.ceil(n / CHECKED), 1)
    chosen = f"hash(birth) % {part} = 0"
    con.execute(
        "CREATE TABLE tried AS SELECT * REPLACE (unique_id AS grp) FROM people "
        f"WHERE numbered AND {chosen}"
    )
    _predict(children, "tried", model, settings, OTHER_PAIR)
    pairs = _accepted(children, "tried")
    children.put("found_again", {"a": pairs["a"].to_numpy(), "b": pairs["b"].to_numpy()})
    right = children.number(
        "SELECT count(*) FROM found_again JOIN people x ON x.unique_id = a "
        "JOIN people y ON y.unique_id = b WHERE x.grp = y.grp OR x.label = y.label"
    )
    true = children.number(
        "SELECT count(*) FROM people l JOIN people r USING (label) WHERE l.unique_id < r.unique_id "
        f"AND l.unit <> r.unit AND hash(l.birth) % {part} = 0"
    )
    measured = {
        "pairs with pupil numbers on which links by probability were tried": true,
        "recall: share of these that would be found without numbers": right / max(true, 1),
    }
    if len(pairs):
        measured["precision: share of links found without numbers that are right"] = right / len(
            pairs
        )
    return (), measured


def weights_of(model: Model, settings: SplinkSettings) -> pd.DataFrame:
    """Make the table of match weights."""
    called = {f"further_{n}": name for n, name in enumerate(settings.compare)}
    called["birth"] = "birth date"
    rows: list[Sequence[Any]] = []
    for comparison in model.settings["comparisons"]:
        name = comparison["output_column_name"]
        for level in comparison["comparison_levels"]:
            if not level.get("is_null_level"):
                m, u = level["m_probability"], level["u_probability"]
                label = level["label_for_charts"]
                rows.append((called.get(name, name), label, m, u, math.log2(m / u)))
    return pd.DataFrame(rows, columns=list(WEIGHT_COLUMNS))


@hookimpl
def register_linkers(register: Callable[[Linker], None]) -> None:
    """Register the linker."""
    register(Splink())
