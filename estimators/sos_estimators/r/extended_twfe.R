# Extended two-way fixed effects (Wooldridge 2025, Empirical Economics): lm with a dummy for every
# cohort and treated period, averaged by the weight of cases.
#
#   source("extended_twfe.R", chdir = TRUE)
#   extended_twfe(cases, control = "notyettreated", effects = "unit")
#
# The columns of `cases` are described in staggered.R.

source("staggered.R", local = TRUE)

# control  "notyettreated": dummies from treatment on; "nevertreated": before treatment too, but for
#          the last period before it
# effects  "unit" or "cohort": whose effects stand beside those of periods
# interact, centre: see fit_saturated() in staggered.R
# The other arguments are those of sun_abraham().
extended_twfe <- function(data, covariates = NULL, aggregate = "event", anticipation = 0,
                          min_event = -Inf, max_event = Inf, vcov = "CR1",
                          control = "notyettreated", effects = "unit", interact = TRUE,
                          centre = "cohort-period", own_effects = FALSE) {
  data <- with_event_time(data, anticipation)
  if (effects == "cohort") data$unit <- data$cohort
  never <- control == "nevertreated"
  listed <- list_effects(data, leads = never, reference = never, anticipation)
  averages <- list_averages(listed, aggregate, min_event, max_event)
  fit_saturated(data, listed, averages, covariates, vcov, interact, centre, own_effects)
}
