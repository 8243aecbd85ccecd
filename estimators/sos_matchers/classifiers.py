"""Propensity scores by any classifier of scikit-learn, named in the settings.

A classifier that is flexible enough tells the rows it has seen apart by chance, so its scores come
from folds that it was not fitted on (cross-fitting).
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import Field, field_validator

from sos_matchers.propensity import Penalty, Scores, fit_scores
from sos_plugins import Settings
from sos_plugins.errors import EstimationError, SettingsError, did_you_mean, listing
from sos_plugins.groundwork.installed import distribution_version

LOGISTIC = "logistic"
FURTHEST = 1e-6
"""Scores are kept this far from 0 and 1, whose logits are infinite: leaves and neighbourhoods with
one side only have them."""


class ScoreSettings(Settings):
    """What estimates a propensity score."""

    classifier: str = Field(
        LOGISTIC,
        description=(
            "logistic, or a classifier of scikit-learn as module:class, such as "
            "sklearn.ensemble:HistGradientBoostingClassifier"
        ),
    )
    classifier_settings: dict[str, Any] = Field(
        {}, description="arguments of that class, such as { max_depth = 3 }"
    )
    folds: int = Field(
        5,
        ge=2,
        description=(
            "parts of the rows, each of which is scored by a classifier fitted on the others (the "
            "logistic regression is fitted on all)"
        ),
    )
    penalty: Penalty = Field(
        "ridge", description="penalty of the logistic regression; none = maximum likelihood"
    )
    C: float = Field(
        1.0, gt=0, description="inverse strength of the ridge penalty on standardised columns"
    )
    seed: int = Field(
        0,
        ge=0,
        description="seed of the classifier, its folds, and the order of equally near cases",
    )

    @field_validator("classifier")
    @classmethod
    def _named(cls, given: str) -> str:
        module, colon, name = given.partition(":")
        known = module == "sklearn" or module.startswith("sklearn.")
        if given != LOGISTIC and not (known and colon and name.isidentifier()):
            raise ValueError(
                "expected logistic, or a class of scikit-learn as module:class, such as "
                f"sklearn.ensemble:HistGradientBoostingClassifier; found {given}"
            )
        return given


@dataclass(frozen=True)
class ScoreModel:
    """A propensity score as settings ask for it.

    Attributes:
        settings: The settings.
    """

    settings: ScoreSettings

    @property
    def logistic(self) -> bool:
        """Whether it is a logistic regression."""
        return self.settings.classifier == LOGISTIC

    def fit(
        self,
        design: np.ndarray,
        treated: np.ndarray,
        *,
        weights: np.ndarray | None = None,
        what: str = "authorities",
    ) -> Scores:
        """Score rows.

        Args:
            design: Array (rows, columns) without an intercept.
            treated: Array (rows,) of 0 and 1.
            weights: Array (rows,) of case weights, or None.
            what: What the rows are, for messages.

        Raises:
            SettingsError: If there is no such classifier, or it does not take such settings.
            EstimationError: If no score exists, or there are too few rows for folds.
        """
        if self.logistic:
            penalty, strength = self.settings.penalty, self.settings.C
            return fit_scores(
                design, treated, penalty=penalty, C=strength, weights=weights, what=what
            )
        return self._cross_fitted(design, treated, weights, what)

    def words(self, names: str, *, of: str = "") -> str:
        """Describe the model of a score, of whatever, on columns of these names."""
        if self.logistic:
            ridge = self.settings.penalty == "ridge"
            penalty = f", ridge penalty with C = {self.settings.C:g}" if ridge else ""
            return f"logistic regression{of} on {names}{penalty}"
        given = ", ".join(f"{k} = {v}" for k, v in self.settings.classifier_settings.items())
        name = self.settings.classifier.partition(":")[2]
        return (
            f"{name}{f' with {given}' if given else ''}{of} on {names}, cross-fitted in "
            f"{self.settings.folds} folds, seed {self.settings.seed}"
        )

    @property
    def software(self) -> str:
        """The library, with its version."""
        return f"scikit-learn {distribution_version('scikit-learn')}"

    def _cross_fitted(
        self, design: np.ndarray, treated: np.ndarray, weights: np.ndarray | None, what: str
    ) -> Scores:
        from sklearn.base import clone
        from sklearn.model_selection import StratifiedKFold

        classifier = self._classifier()
        smaller = int(min(treated.sum(), len(treated) - treated.sum()))
        if smaller < 2:
            raise EstimationError(
                f"The classifier for the propensity score of {what} cannot be cross-fitted: one "
                f"side has {smaller} of {len(treated)} rows. Use classifier = 'logistic'."
            )
        folds = StratifiedKFold(
            min(self.settings.folds, smaller), shuffle=True, random_state=self.settings.seed
        )
        score = np.empty(len(treated))
        for seen, left in folds.split(design, treated):
            weight = None if weights is None else weights[seen]
            fitted = self._fitted(clone(classifier), design[seen], treated[seen], weight)
            score[left] = fitted.predict_proba(design[left])[:, list(fitted.classes_).index(1)]
        score = np.clip(score, FURTHEST, 1 - FURTHEST)
        return Scores(np.log(score / (1 - score)), score)

    def _classifier(self) -> Any:
        made = classifier_class(self.settings.classifier)
        values = dict(self.settings.classifier_settings)
        known = list(inspect.signature(made).parameters)
        for name in values:
            if name not in known:
                raise SettingsError(
                    f"The classifier '{self.settings.classifier}' has no setting '{name}'."
                    f"{did_you_mean(name, known)} Its settings: {listing(known)}."
                )
        if "random_state" in known:
            values.setdefault("random_state", self.settings.seed)
        return made(**values)

    def _fitted(
        self, classifier: Any, design: np.ndarray, treated: np.ndarray, weight: np.ndarray | None
    ) -> Any:
        from sklearn.utils.validation import has_fit_parameter

        weighs: Mapping[str, Any] = {}
        if weight is not None and np.ptp(weight) > 0:
            if not has_fit_parameter(classifier, "sample_weight"):
                raise SettingsError(
                    f"The classifier '{self.settings.classifier}' takes no weights, but the cases "
                    "have some. Choose another classifier."
                )
            weighs = {"sample_weight": weight}
        try:
            return classifier.fit(design, treated, **weighs)
        except (ValueError, TypeError) as error:
            raise SettingsError(
                f"The classifier '{self.settings.classifier}' cannot be fitted with "
                f"classifier_settings {dict(self.settings.classifier_settings)}: {error}"
            ) from None


def classifier_class(name: str) -> Any:
    """Return a classifier of scikit-learn by ``module:class``.

    Raises:
        SettingsError: If there is none of that name, or it gives no probabilities.
    """
    module_name, _, class_name = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError:
        raise SettingsError(
            f"scikit-learn has no module '{module_name}' (classifier = '{name}')."
        ) from None
    from sklearn.base import ClassifierMixin

    found = getattr(module, class_name, None)
    if not (inspect.isclass(found) and issubclass(found, ClassifierMixin)):
        offered = [
            n
            for n, c in vars(module).items()
            if inspect.isclass(c) and issubclass(c, ClassifierMixin) and not n.startswith("_")
        ]
        raise SettingsError(
            f"'{module_name}' has no classifier '{class_name}'.{did_you_mean(class_name, offered)} "
            f"Its classifiers: {listing(sorted(offered))}."
        )
    if not hasattr(found, "predict_proba"):
        raise SettingsError(
            f"The classifier '{name}' gives no probabilities (it has no predict_proba), so there "
            "is no propensity score. Choose another."
        )
    return found


def only_logistic(settings: ScoreSettings, engine: str) -> str | None:
    """Say that an engine of R cannot use a classifier of scikit-learn."""
    if settings.classifier == LOGISTIC:
        return None
    return (
        f"the engine '{engine}' fits logistic regressions, not {settings.classifier}. Use the "
        "engine 'python'."
    )
