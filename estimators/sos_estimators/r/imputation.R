# Imputation (Borusyak, Jaravel and Spiess 2024, Review of Economic Studies 91(6)): the cases not
# treated yet give unit and period effects; what these leave of treated cases are their effects.
#
#   source("imputation.R", chdir = TRUE)
#   imputation(cases, aggregate = "event", leads = TRUE)
#
# The columns of `cases` are described in staggered.R; every unit needs a case before treatment.

source("staggered.R", local = TRUE)

# control     "notyettreated" or "nevertreated": see first_stage() in staggered.R
# leads       whether to regress the cases not treated yet on the time before treatment
# leads_vcov  "CR0", "CR1", "CR1S", "fixest": see small_sample() in common.R
imputation <- function(data, covariates = NULL, aggregate = "event", anticipation = 0,
                       min_event = -Inf, max_event = Inf, leads = TRUE, leads_vcov = "CR1",
                       control = "notyettreated", own_effects = FALSE,
                       leave_one_out = FALSE) {
  data <- with_event_time(data, anticipation)
  effects <- list_effects(data, leads = FALSE, reference = FALSE, anticipation)
  averages <- list_averages(effects, aggregate, min_event, max_event)
  stage <- first_stage(data, covariates, control)
  W <- row_weights(data, effects, averages)
  departure <- stage$residual - centres(data, W, stage$residual, leave_one_out)
  scores <- W * departure + stage$influence(W) * stage$residual
  c(list(term = names(averages), estimate = unname(drop(crossprod(W, stage$residual)))),
    clustered(scores, data$cluster),
    if (own_effects) own_of_imputed(data, W, stage),
    if (leads) lead_regression(data, covariates, min_event, leads_vcov, own_effects))
}

# The average effect of each row's cohort and period, where each unit counts by the square of its
# weight (their equation 8): rows x averages.
#
# leave_one_out  each unit is measured from the others; NA where there are none
centres <- function(data, W, residual, leave_one_out = FALSE) {
  row <- paste(data$unit, data$cohort, data$period)
  weight <- rowsum(W, row)
  total <- rowsum(W * residual, row)
  group <- paste(data$cohort, data$period)
  of_row <- group[match(rownames(weight), row)]
  if (leave_one_out) {
    all_of <- function(x) rowsum(x, of_row)[of_row, , drop = FALSE]
    others <- (all_of(weight * total) - weight * total) /
      (all_of(weight^2) - weight^2)
    others[all_of(weight^2) - weight^2 <= 1e-12 * weight^2] <- NA
    others[weight == 0] <- 0
    return(others[match(row, rownames(weight)), , drop = FALSE])
  }
  mean <- rowsum(weight * total, of_row) / rowsum(weight^2, of_row)
  mean[!is.finite(mean)] <- 0
  mean[match(group, rownames(mean)), , drop = FALSE]
}

# Coefficients of the time before treatment among the cases not treated yet, against the last period
# before it, and what each cluster adds to them. Leads that are collinear are left out.
lead_regression <- function(data, covariates, min_event, vcov, with_own = FALSE) {
  free <- data[!data$affected, ]
  events <- sort(unique(free$event))
  reference <- max(events)
  events <- events[events < reference & events >= min_event]
  names <- paste0("lead_", seq_along(events))
  if (!length(events)) return(list(lead = numeric(0), reference = reference))
  for (k in seq_along(events)) free[[names[k]]] <- +(!is.na(free$event) & free$event == events[k])
  fitted <- fit_cells(free, "twfe", covariates, names)
  known <- !is.na(fitted$estimate)
  if (!any(known)) return(list(lead = numeric(0), reference = reference, collinear = events))
  scores <- cluster_scores(fitted, vcov)
  own <- if (with_own) {
    leads <- as.matrix(free[names[known]]) * free$weight
    shares <- unname(rowsum(sweep(leads, 2, colSums(leads), "/"), free$cluster))
    estimate <- unname(fitted$estimate[known])
    plain <- unname(cluster_scores(fitted, "CR0"))
    stats::setNames(own_effects(estimate, plain + sweep(shares, 2, estimate, "*"), shares),
                    c("lead_own_scores", "lead_own_df"))
  }
  c(own, list(lead = events[known], lead_estimate = fitted$estimate[known], reference = reference,
       lead_scores = by_row(scores), lead_cluster = as.integer(rownames(scores)),
       collinear = events[!known]))
}
