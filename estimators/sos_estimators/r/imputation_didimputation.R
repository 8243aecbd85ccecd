# Imputation by the package `didimputation`, for panels with equal weights.
#
# To use it by hand: source this file with chdir = TRUE and call imputation_didimputation(cases, ...);
# the columns of `cases` are described in staggered.R.

source("staggered.R", local = TRUE)

imputation_didimputation <- function(data, covariates = NULL, aggregate = "event", anticipation = 0,
                                     min_event = -Inf, max_event = Inf) {
  if (anticipation != 0) stop("didimputation knows no anticipation")
  data <- with_event_time(data, 0)
  effects <- list_effects(data, leads = FALSE, reference = FALSE, 0)
  averages <- list_averages(effects, aggregate, min_event, max_event)
  W <- row_weights(data, effects, averages)
  columns <- as.character(seq_along(averages))  # it sorts its terms as numbers
  data[columns] <- as.data.frame(+(W > 0))
  right <- paste(c(covariates, if (!length(covariates)) "0"), collapse = " + ")
  found <- as.data.frame(didimputation::did_imputation(
    data, yname = "value", gname = "cohort", tname = "period", idname = "unit", wtr = columns,
    first_stage = stats::as.formula(paste("~", right, "| unit + period")),
    cluster_var = "cluster"))
  place <- match(columns, found$term)
  list(term = names(averages), estimate = found$estimate[place],
       std_error = found$std.error[place])
}
