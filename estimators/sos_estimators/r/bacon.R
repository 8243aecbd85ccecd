# Goodman-Bacon decomposition of a two-way fixed effects estimate, in base R.
#
#   source("bacon.R", chdir = TRUE)
#   bacon_decompose(panel)
#
# One row of the panel is a unit in a period, every unit in every period, with the columns
#   unit, period, value
#   cohort   first treated period; 0 = never

source("input.R", local = TRUE)

# Returns, for every difference-in-differences of two cohorts, `treated` and `control` (0 never,
# -1 always treated), `kind` (1 treated vs never, 2 vs always, 3 earlier vs later, 4 later vs
# earlier), `estimate` and `weight`; and `overall`, their weighted sum.
bacon_decompose <- function(panel) {
  check_input(panel, c("unit", "period", "cohort", "value"))
  periods <- sort(unique(panel$period))
  panel$cohort <- bacon_cohort(panel$cohort, periods)
  cohorts <- sort(unique(panel$cohort))
  timed <- cohorts[cohorts > 0]
  size <- vapply(cohorts, function(g) length(unique(panel$unit[panel$cohort == g])), 1)
  names(size) <- cohorts
  n <- size / sum(size)
  share <- function(g) if (g < 0) 1 else if (g == 0) 0 else mean(periods >= g)

  pairs <- expand.grid(treated = timed, control = cohorts)
  pairs <- pairs[pairs$treated != pairs$control, , drop = FALSE]
  one <- function(k, l) {
    of_units <- n[[as.character(k)]] * n[[as.character(l)]]
    Dk <- share(k)
    Dl <- share(l)
    if (l <= 0) {
      list(kind = if (l == 0) 1 else 2, window = rep(TRUE, length(periods)),
           weight = of_units * Dk * (1 - Dk))
    } else if (k < l) {
      list(kind = 3, window = periods < l, weight = of_units * (Dk - Dl) * (1 - Dk))
    } else {
      list(kind = 4, window = periods >= l, weight = of_units * (Dl - Dk) * Dk)
    }
  }
  parts <- Map(one, pairs$treated, pairs$control)
  estimate <- mapply(function(k, l, part) {
    two_by_two(panel[panel$period %in% periods[part$window], ], k, l)
  }, pairs$treated, pairs$control, parts)
  weight <- vapply(parts, function(p) p$weight, 1) / treatment_variance(panel)
  list(treated = pairs$treated, control = pairs$control,
       kind = vapply(parts, function(p) p$kind, 1),
       estimate = as.numeric(estimate), weight = weight,
       overall = sum(as.numeric(estimate) * weight))
}

# 0 for units that are never treated within the panel, -1 for those that always are, else the first
# period of the panel in which they are treated.
bacon_cohort <- function(cohort, periods) {
  vapply(cohort, function(g) {
    if (g <= 0 || g > max(periods)) 0 else if (g <= min(periods)) -1 else min(periods[periods >= g])
  }, 1)
}

# Change of cohort k at its adoption, less the change of cohort l.
two_by_two <- function(panel, k, l) {
  change <- function(g) {
    rows <- panel[panel$cohort == g, ]
    mean(rows$value[rows$period >= k]) - mean(rows$value[rows$period < k])
  }
  change(k) - change(l)
}

# Variance of treatment that unit and period effects do not explain.
treatment_variance <- function(panel) {
  D <- as.numeric(panel$cohort < 0 | (panel$cohort > 0 & panel$period >= panel$cohort))
  mean((D - ave(D, panel$unit) - ave(D, panel$period) + mean(D))^2)
}
