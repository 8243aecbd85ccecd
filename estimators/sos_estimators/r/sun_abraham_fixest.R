# Interaction-weighted event study by the package `fixest` (feols with sunab).
#
# To use it by hand: source this file with chdir = TRUE and call sun_abraham_fixest(cases, ...); the
# columns of `cases` are described in staggered.R, the arguments in sun_abraham.R.

source("staggered.R", local = TRUE)
source("fixest_correction.R", local = TRUE)

sun_abraham_fixest <- function(data, covariates = NULL, aggregate = "event", anticipation = 0,
                               min_event = -Inf, max_event = Inf, vcov = "CR1") {
  data <- with_event_time(data, anticipation)
  effects <- list_effects(data, leads = TRUE, reference = TRUE, anticipation)
  averages <- list_averages(effects, aggregate, min_event, max_event)
  # fixest counts rows, so that a cell becomes as many rows as it has cases
  rows <- data[rep(seq_len(nrow(data)), data$n_cases), ]
  rows$weight <- rows$weight / rows$n_cases
  rows$adopted <- ifelse(rows$cohort > 0, rows$cohort, max(rows$period) + 1000)
  reference <- -1 - anticipation
  terms <- c("sunab(adopted, period, ref.p = reference)", covariates)
  formula <- stats::as.formula(
    paste("value ~", paste(terms, collapse = " + "), "| unit + period"))
  fit <- fixest::feols(formula, data = rows, weights = ~weight, cluster = ~cluster,
                       ssc = fixest_correction(vcov), notes = FALSE, warn = FALSE)
  estimate <- stats::coef(fit, agg = FALSE)
  V <- stats::vcov(fit)
  place <- match(sprintf("period::%d:cohort::%d", effects$event, effects$cohort), names(estimate))
  if (anyNA(place[!effects$reference])) {
    stop("fixest leaves out ", paste(effects$name[is.na(place) & !effects$reference],
                                     collapse = ", "))
  }
  shares <- shares_of(effects, averages)[, !effects$reference, drop = FALSE]
  place <- place[!effects$reference]
  list(kept = TRUE, aliased = FALSE, term = names(averages),
       estimate = drop(shares %*% estimate[place]),
       std_error = sqrt(pmax(diag(shares %*% V[place, place] %*% t(shares)), 0)))
}
