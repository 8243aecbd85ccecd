# Inference with few treated authorities, for any estimator: randomisation of the dates of adoption,
# the jackknife of authorities, and tests on treated authorities' own effects.
#
#   source("few_treated.R", chdir = TRUE)
#   source("imputation.R", chdir = TRUE)
#   fit <- function(cases) imputation(cases, aggregate = "simple", leads = FALSE, own_effects = TRUE)
#   randomised(fit, cases)
#
# `fit` takes cases (columns as in staggered.R) and returns a list with `estimate`, and with
# `own_scores` for t statistics; the first average is looked at.

# Every way to deal out dates: one row an assignment, one column a unit.
every_assignment <- function(cohort) {
  dates <- sort(unique(cohort[cohort > 0]))
  deal <- function(free, left) {
    if (!length(left)) return(list(rep(0, length(cohort))))
    chosen <- utils::combn(length(free), sum(cohort == left[1]), simplify = FALSE)
    unlist(lapply(chosen, function(places) {
      lapply(deal(free[-places], left[-1]), function(made) {
        made[free[places]] <- left[1]
        made
      })
    }), recursive = FALSE)
  }
  do.call(rbind, deal(seq_along(cohort), dates))
}

# MacKinnon and Webb (2020), Journal of Econometrics 218(2): the shares of all assignments whose
# estimate, and whose t statistic, is as large as the observed one.
randomised <- function(fit, data) {
  units <- sort(unique(data$unit))
  cohort <- data$cohort[match(units, data$unit)]
  measure <- function(dates) {
    data$cohort <- dates[match(data$unit, units)]
    fitted <- fit(data)
    scores <- matrix(fitted$own_scores, ncol = length(fitted$estimate), byrow = TRUE)
    c(fitted$estimate[1], fitted$estimate[1] / sqrt(sum(scores[, 1]^2)))
  }
  all <- apply(every_assignment(cohort), 1, measure)
  seen <- measure(cohort)
  as_large <- rowMeans(abs(all) >= abs(seen) * (1 - 1e-9))
  list(p_beta = as_large[1], p_t = as_large[2], assignments = ncol(all))
}

# MacKinnon, Nielsen and Webb (2023), Journal of Applied Econometrics 38(5): the standard error from
# the estimates without each unit.
jackknifed <- function(fit, data) {
  units <- sort(unique(data$unit))
  without <- vapply(units, function(u) fit(data[data$unit != u, ])$estimate[1], 0)
  n <- length(units)
  sqrt((n - 1) / n * sum((without - fit(data)$estimate[1])^2))
}

# Canay, Romano and Shaikh (2017), Econometrica 85(3): the share of all sign vectors whose t
# statistic of the own effects is as large as that of the own effects themselves.
sign_flips <- function(own) {
  t_of <- function(x) abs(mean(x)) / (sd(x) / sqrt(length(x)))
  signs <- as.matrix(expand.grid(rep(list(c(1, -1)), length(own))))
  all <- apply(signs, 1, function(s) t_of(s * own))
  mean(all >= t_of(own) * (1 - 1e-9))
}

# Romano and Wolf (2005), Journal of the American Statistical Association 100(469): adjusted p values
# of several outcomes, step by step. `drawn` has one row a draw that they share, one column an outcome.
romano_wolf <- function(observed, drawn) {
  drawn <- abs(drawn[rowSums(!is.finite(drawn)) == 0, , drop = FALSE])
  adjusted <- numeric(length(observed))
  left <- order(-abs(observed))
  least <- 0
  while (length(left)) {
    largest <- apply(drawn[, left, drop = FALSE], 1, max)
    as_large <- sum(largest >= abs(observed[left[1]]) * (1 - 1e-9))
    least <- max(least, (as_large + 1) / (nrow(drawn) + 1))
    adjusted[left[1]] <- least
    left <- left[-1]
  }
  adjusted
}
