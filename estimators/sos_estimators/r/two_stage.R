# Two-stage difference-in-differences (Gardner 2022, arXiv:2207.05943): the cases not treated yet give
# unit and period effects; what these leave of all cases is averaged. Standard errors are those of
# two-step GMM (Butts and Gardner 2022, R Journal 14(3)), without small-sample correction.
#
#   source("two_stage.R", chdir = TRUE)
#   two_stage(cases, aggregate = "event")
#
# The columns of `cases` are described in staggered.R; every unit needs a case before treatment.

source("staggered.R", local = TRUE)

# control  "notyettreated" or "nevertreated": see first_stage() in staggered.R
two_stage <- function(data, covariates = NULL, aggregate = "event", anticipation = 0,
                      min_event = -Inf, max_event = Inf, control = "notyettreated",
                      own_effects = FALSE) {
  data <- with_event_time(data, anticipation)
  effects <- list_effects(data, leads = aggregate == "event", reference = FALSE, anticipation)
  averages <- list_averages(effects, aggregate, min_event, max_event)
  stage <- first_stage(data, covariates, control)
  W <- row_weights(data, effects, averages)
  estimate <- drop(crossprod(W, stage$residual))
  second <- W * outer(stage$residual, estimate, "-")
  first <- stage$influence(W) * stage$residual
  c(list(term = names(averages), estimate = unname(estimate)),
    clustered(second + first, data$cluster), if (own_effects) own_of_imputed(data, W, stage))
}
