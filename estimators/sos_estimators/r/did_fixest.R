# The classic difference-in-differences and the event study by the package `fixest` (feols).
#
#   source("did_fixest.R", chdir = TRUE)
#   did_fixest(cases, form = "twfe", vcov = "fixest", covariates = c("age", "sex"))
#   event_study_fixest(cases, form = "twfe", vcov = "fixest")
#
# The columns of `cases` are described in common.R and event_study.R, forms in did.R.

source("common.R", local = TRUE)
source("fixest_correction.R", local = TRUE)

# vcov  "CR0", "CR1" or "fixest": see small_sample() in common.R
did_fixest <- function(data, form = "twfe", vcov = "CR1", covariates = NULL) {
  check_input(data, union(needed_columns(form), c("treated", "post")), covariates)
  data$D <- data$treated * data$post
  fit_feols(data, form, covariates, "D", vcov)
}

# reference   event time that the others are compared with
# lags_only   TRUE: all event times before adoption are the reference
event_study_fixest <- function(data, form = "twfe", reference = -1, lags_only = FALSE,
                               vcov = "CR1", covariates = NULL) {
  check_input(data, union(needed_columns(form), c("treated", "event")), covariates, empty = "event")
  events <- sort(setdiff(unique(data$event[data$treated == 1]), reference))
  if (lags_only) events <- events[events >= 0]
  terms <- paste0("event_", seq_along(events))
  for (k in seq_along(events)) data[[terms[k]]] <- +(data$treated == 1 & data$event == events[k])
  fit_feols(data, form, covariates, terms, vcov)
}

# Returns estimates and covariance of the terms, whether and which of them are collinear (lost), and
# whether each column of structure and covariates was kept.
fit_feols <- function(data, form, covariates, terms, vcov) {
  made <- NULL
  if (length(covariates)) {
    made <- covariate_matrix(data, covariates)
    colnames(made) <- paste0("x_", seq_len(ncol(made)), recycle0 = TRUE)
    data <- cbind(data[setdiff(names(data), covariates)], made)
  }
  effects <- vapply(effect_columns(form), paste, "", collapse = "^")
  right <- c(structure_columns(form), colnames(made), terms)
  formula <- stats::as.formula(paste("value ~", paste(right, collapse = " + "), "|",
                                     paste(effects, collapse = " + ")))
  fit <- fixest::feols(formula, data = data, weights = ~weight, cluster = ~cluster,
                       ssc = fixest_correction(vcov), fixef.rm = "none", fixef.tol = 1e-9,
                       notes = FALSE, warn = FALSE)
  estimate <- stats::coef(fit)
  lost <- which(!terms %in% names(estimate))
  answer <- list(kept = c(structure_columns(form), colnames(made)) %in% names(estimate),
                 aliased = length(lost) > 0, lost = lost)
  if (answer$aliased) return(answer)
  V <- stats::vcov(fit)[terms, terms, drop = FALSE]
  c(answer, list(estimate = unname(estimate[terms]), covariance = as.vector(V)))
}
