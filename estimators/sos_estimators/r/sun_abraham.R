# Interaction-weighted event study (Sun and Abraham 2021, Journal of Econometrics 225(2)): lm with a
# dummy for every cohort and period but the last before treatment, averaged by the weight of cases.
#
#   source("sun_abraham.R", chdir = TRUE)
#   sun_abraham(cases, aggregate = "event", vcov = "fixest")
#
# The columns of `cases` are described in staggered.R; cohort 0 is compared with.

source("staggered.R", local = TRUE)

# aggregate     "event", "cohort", "calendar", "group-time" or "simple"
# anticipation  periods before the first treated one that may already be affected
# vcov          "CR0", "CR1", "CR1S", "fixest": see small_sample() in common.R
# own_effects   whether to give errors from treated clusters' own effects too: see own_effects.R
sun_abraham <- function(data, covariates = NULL, aggregate = "event", anticipation = 0,
                        min_event = -Inf, max_event = Inf, vcov = "CR1", own_effects = FALSE) {
  data <- with_event_time(data, anticipation)
  effects <- list_effects(data, leads = TRUE, reference = TRUE, anticipation)
  averages <- list_averages(effects, aggregate, min_event, max_event)
  fit_saturated(data, effects, averages, covariates, vcov, own_effects = own_effects)
}
