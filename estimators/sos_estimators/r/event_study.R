# Event study on cases: effects by period relative to adoption, standard errors by sandwich.
#
#   source("event_study.R", chdir = TRUE)
#   event_study_fit(cases, form = "twfe", reference = -1)
#
# The columns of `cases` are described in common.R, and
#   event   period minus first treated period; any number for cases that are not treated

source("common.R", local = TRUE)

# reference   event time that the others are compared with
# lags_only   TRUE: all event times before adoption are the reference
# min_lead_clusters   the joint test leaves out leads that fewer treated clusters have: their
#             standard errors are far too small (if fewer are treated at all, all of them)
# form        "twfe" or "stacked", as in did.R
# vcov        as in did.R
# aht         TRUE: the leads are tested by aht_test() in common.R; FALSE: by Wald's statistic
#
# Returns the terms, event times and their mean over lags (`overall`), with estimates, covariance and
# degrees of freedom, and in `joint` the F statistic that all leads are zero (missing when the clusters
# are too few for it) and its degrees of freedom.
event_study_fit <- function(data, form = "twfe", reference = -1, lags_only = FALSE, vcov = "CR2",
                            min_lead_clusters = 5, aht = TRUE, covariates = NULL) {
  check_input(data, union(needed_columns(form), c("treated", "event")), covariates, empty = "event")
  data$event <- ifelse(data$treated == 1, data$event, reference)
  events <- sort(setdiff(unique(data$event), reference))
  if (lags_only) events <- events[events >= 0]
  cells <- rows_for(data, form, covariates, c("treated", "event"), vcov)
  terms <- paste0("event=", events)
  cells[terms] <- lapply(events, function(e) as.numeric(cells$treated == 1 & cells$event == e))
  fitted <- fit_cells(cells, form, covariates, terms)
  answer <- list(kept = fitted$kept, aliased = fitted$aliased, lost = fitted$lost)
  if (fitted$aliased) return(answer)
  tested <- events < 0 & enough_clusters(data[data$treated == 1, ], events, min_lead_clusters)
  mean_of_lags <- (events >= 0) / sum(events >= 0)
  combine <- cbind(diag(length(events)), mean_of_lags)
  variance <- combined_vcov(fitted, vcov, combine, form, covariates)
  df <- length(unique(cells$cluster)) - 1
  leads <- which(tested)
  joint <- if (aht) {
    aht_test(fitted, combine[, leads, drop = FALSE])
  } else {
    c(leads_statistic(fitted$estimate[leads], variance$V[leads, leads], df), df)
  }
  c(answer, list(
    term = c(terms, "overall"),
    estimate = c(fitted$estimate, sum(mean_of_lags * fitted$estimate)),
    covariance = as.vector(variance$V),
    df = variance$df,
    joint = joint
  ))
}

enough_clusters <- function(treated, events, least) {
  seen <- vapply(events, function(e) length(unique(treated$cluster[treated$event == e])), 1L)
  seen >= min(least, length(unique(treated$cluster)))
}

# Wald's statistic over the number of leads: F distributed with (leads, clusters - 1) degrees of
# freedom when all leads are zero.
leads_statistic <- function(estimate, V, df) {
  q <- length(estimate)
  if (q == 0 || q > df) return(NA_real_)
  scale <- sqrt(diag(as.matrix(V)))
  R <- as.matrix(V) / outer(scale, scale)
  if (!all(scale > 0) || qr(R)$rank < q) return(NA_real_)
  sum((estimate / scale) * solve(R, estimate / scale)) / q
}
