# Staggered adoption: what sun_abraham.R, extended_twfe.R, imputation.R and two_stage.R share.
#
# Needs base R (and sandwich for the regressions). One row of the data is a case, or a cell of alike
# cases, with the columns
#   value    the outcome; of a cell the weighted mean
#   weight   above 0; of a cell the sum
#   n_cases  cases in the row; 1 unless given
#   unit     whose effect is taken out: authority, or id of a panel
#   period   a whole number
#   cohort   first treated period, 0 = never treated
#   cluster  what standard errors are clustered by
# and covariates: numbers enter linearly, factors as dummies without the first level.

source("common.R", local = TRUE)
source("own_effects.R", local = TRUE)

# Add what is derived: event time, and whether a row is affected by treatment.
with_event_time <- function(data, anticipation) {
  check_input(data, c("value", "weight", "unit", "period", "cohort", "cluster"))
  if (is.null(data$n_cases)) data$n_cases <- 1
  data$event <- ifelse(data$cohort > 0, data$period - data$cohort, NA)
  data$affected <- !is.na(data$event) & data$event >= -anticipation
  data
}

# One row for each effect: cohort, period, event, summed weight, and whether it is the reference of
# its cohort, the last period before treatment.
list_effects <- function(data, leads, reference, anticipation) {
  rows <- if (leads) data$cohort > 0 else data$affected
  effects <- aggregate(weight ~ period + cohort, data = data[rows, ], FUN = sum)
  effects$event <- effects$period - effects$cohort
  effects$name <- sprintf("ATT(%d,%d)", effects$cohort, effects$period)
  last <- ave(ifelse(effects$event < -anticipation, effects$period, -Inf), effects$cohort,
              FUN = max)
  effects$reference <- reference & effects$period == last
  effects
}

# Which effects each average is over: a named list of logical vectors, the overall effect first.
list_averages <- function(effects, how, min_event = -Inf, max_event = Inf) {
  inside <- effects$event >= min_event & effects$event <= max_event
  post <- effects$event >= 0 & inside
  each <- function(word, by, rows) {
    values <- sort(unique(by[rows]))
    stats::setNames(lapply(values, function(v) rows & by == v), paste0(word, "=", values))
  }
  c(list(overall = post), switch(how,
    simple = NULL,
    event = each("event", effects$event, inside),
    cohort = each("cohort", effects$cohort, post),
    calendar = each("calendar", effects$period, post),
    "group-time" = stats::setNames(
      lapply(seq_along(post), function(k) seq_along(post) == k), effects$name),
    stop("unknown aggregate '", how, "'")))
}

# The share of each effect in each average, by the weight of the cases: averages x effects.
shares_of <- function(effects, averages) {
  of_each <- vapply(averages, function(chosen) {
    chosen * effects$weight / sum(effects$weight[chosen])
  }, numeric(nrow(effects)))
  matrix(of_each, length(averages), nrow(effects), byrow = TRUE)  # of one effect too
}

# Regress on unit and period effects, covariates and a dummy for each effect that is no reference,
# and average the coefficients.
#
# interact  whether the slopes of covariates differ by cohort, by period and with each effect
# centre    effects at the mean of their own cases ("cohort-period") or of their cohort ("cohort")
fit_saturated <- function(data, effects, averages, covariates, vcov, interact = FALSE,
                          centre = "cohort-period", own_effects = FALSE) {
  dummies <- effects[!effects$reference, ]
  names <- paste0("D", seq_len(nrow(dummies)))
  for (k in seq_along(names)) {
    data[[names[k]]] <- +(data$cohort == dummies$cohort[k] & data$period == dummies$period[k])
  }
  made <- list(effect = integer(0), shift = numeric(0))
  if (interact && length(covariates)) {
    made <- interact_covariates(data, dummies, covariates)
    data <- cbind(data, made$products)
  }
  slopes <- seq_along(made$shift) + length(names)
  fitted <- fit_cells(data, "twfe", covariates, c(names, colnames(made$products)))
  told <- !is.na(fitted$estimate)
  shift <- made$shift * (centre == "cohort")
  lost <- sort(unique(c(which(!told[seq_along(names)]), made$effect[!told[slopes] & shift != 0])))
  answer <- list(kept = c(fitted$kept, told), aliased = length(lost) > 0, lost = lost)
  if (answer$aliased) return(answer)
  of_terms <- function(of_effects) {
    of_effects <- of_effects[, !effects$reference, drop = FALSE]
    moved <- sweep(of_effects[, made$effect, drop = FALSE], 2, shift, "*")
    cbind(of_effects, moved)[, told, drop = FALSE]
  }
  shares <- of_terms(shares_of(effects, averages))
  own <- if (own_effects) {
    att <- drop(of_terms(diag(nrow(effects))) %*% fitted$estimate[told])
    own_of_scores(data, effects, averages, att, cluster_scores(fitted, "CR0") %*% t(shares))
  }
  c(answer, own, list(term = names(averages),
                 estimate = drop(shares %*% fitted$estimate[told])),
    errors_of(fitted, vcov, shares, told, covariates))
}

# What each cluster adds to averages of the coefficients that are told, for a convention of the
# sandwich; else covariance and degrees of freedom.
errors_of <- function(fitted, vcov, shares, told, covariates) {
  if (vcov %in% c("CR0", "CR1", "CR1S", "fixest")) {
    return(list(scores = by_row(cluster_scores(fitted, vcov) %*% t(shares))))
  }
  combine <- matrix(0, length(told), nrow(shares))
  combine[told, ] <- t(shares)
  errors <- combined_vcov(fitted, vcov, combine, "twfe", covariates)
  list(covariance = as.vector(errors$V), df = errors$df)
}

# Covariates as numbers times effects, times cohorts and times periods.
#
# Returns of each product
#   products  the column; times an effect, covariates are measured from the mean of its cases
#   effect    the effect (of a cohort or period the first, without a shift)
#   shift     mean of the effect's cohort less mean of its cases
interact_covariates <- function(data, dummies, covariates) {
  x <- covariate_matrix(data, covariates)
  mean_of <- function(rows) {
    colSums(x[rows, , drop = FALSE] * data$weight[rows]) / sum(data$weight[rows])
  }
  x <- sweep(x, 2, mean_of(rep(TRUE, nrow(data))))
  largest <- apply(abs(x), 2, max)
  rounded <- function(m) ifelse(sweep(abs(m), 2, 1e-9 * largest) <= 0, 0, m)
  products <- shifts <- NULL
  for (k in seq_len(nrow(dummies))) {
    cohort <- data$cohort == dummies$cohort[k]
    here <- cohort & data$period == dummies$period[k]
    products <- cbind(products, rounded(sweep(x, 2, mean_of(here))) * here)
    shifts <- c(shifts, rounded(rbind(mean_of(cohort) - mean_of(here))))
  }
  for (by in list(data$cohort, data$period)) {
    for (value in sort(unique(by))[-1]) products <- cbind(products, x * (by == value))
  }
  others <- ncol(products) - length(shifts)
  colnames(products) <- paste0("slope_", seq_len(ncol(products)))
  list(products = products,
       effect = c(rep(seq_len(nrow(dummies)), each = ncol(x)), rep(1, others)),
       shift = c(shifts, rep(0, others)))
}

# Errors from own effects, given the effects and what each cluster adds to the averages.
own_of_scores <- function(data, effects, averages, att, scores) {
  W <- row_weights(data, effects, averages)
  of_row <- att[match(paste(data$cohort, data$period), paste(effects$cohort, effects$period))]
  of_row[is.na(of_row)] <- 0
  levels <- unname(rowsum(W * of_row, data$cluster))
  estimate <- drop(shares_of(effects, averages) %*% att)
  own_effects(estimate, unname(scores) + levels, unname(rowsum(W, data$cluster)))
}

# What each cluster adds to the coefficients of the terms, in the order of the clusters: their cross
# products are cluster_vcov().
cluster_scores <- function(fitted, vcov) {
  kept <- fitted$names[!is.na(fitted$estimate)]
  by_cluster <- rowsum(sandwich::estfun(fitted$fit), fitted$cells$cluster)
  added <- by_cluster %*% summary(fitted$fit)$cov.unscaled
  added[, kept, drop = FALSE] * sqrt(small_sample(fitted, vcov))
}

# The numbers of a matrix, row by row.
by_row <- function(matrix) as.vector(t(matrix))

# Find unit effects, period effects and covariates from cases that are not affected, impute all, and
# find how the imputed values hang on those cases.
#
# control  "notyettreated": one regression of all cases that are not affected; "nevertreated": period
#          effects and covariates of units never treated, unit effects of all cases not affected
# Returns for every row
#   residual   value less what is imputed: the effect of treated cases
#   influence  function(W): minus the weights of the unaffected values in sums of imputed effects,
#              where row i counts W[i, j] in sum j:  -W0 Z0 (Z0' W0 Z0)^-1 Z' W
first_stage <- function(data, covariates, control = "notyettreated") {
  period <- factor(data$period)
  Z <- cbind(1, outer(as.integer(period), seq_len(nlevels(period))[-1], "==") * 1,
             covariate_matrix(data, covariates))
  free <- !data$affected
  compared <- if (control == "nevertreated") data$cohort == 0 else free
  unit <- as.character(data$unit)
  own <- rowsum(data$weight * free, unit)
  from_own_mean <- function(m) m - (rowsum(data$weight * free * m, unit) / own[, 1])[unit, ]
  Z <- from_own_mean(Z)
  value <- drop(from_own_mean(cbind(data$value)))
  root <- sqrt(data$weight[compared])
  decomposed <- qr(Z[compared, , drop = FALSE] * root)
  kept <- sort(decomposed$pivot[seq_len(decomposed$rank)])
  Z <- Z[, kept, drop = FALSE]
  decomposed <- qr(Z[compared, , drop = FALSE] * root)
  beta <- qr.coef(decomposed, value[compared] * root)
  list(
    residual = value - drop(Z %*% beta),
    influence = function(W) {
      inverse <- chol2inv(qr.R(decomposed))[order(decomposed$pivot), order(decomposed$pivot)]
      of_units <- (rowsum(W, unit) / own[, 1])[unit, , drop = FALSE]
      of_others <- Z %*% (inverse %*% crossprod(Z, W))
      -data$weight * (free * of_units + compared * of_others)
    }
  )
}

# How much each row counts in each average: rows x averages.
row_weights <- function(data, effects, averages) {
  place <- match(paste(data$cohort, data$period), paste(effects$cohort, effects$period))
  vapply(averages, function(chosen) {
    ifelse(!is.na(place) & chosen[place], data$weight, 0) / sum(effects$weight[chosen])
  }, numeric(nrow(data)))
}

# Errors from own effects of averages of imputed effects.
own_of_imputed <- function(data, W, stage) {
  added <- W * stage$residual + stage$influence(W) * stage$residual
  own_effects(drop(crossprod(W, stage$residual)), unname(rowsum(added, data$cluster)),
              unname(rowsum(W, data$cluster)))
}

# Sums over rows by cluster and their standard errors: factors is rows x sums.
clustered <- function(factors, cluster) {
  sums <- unname(rowsum(factors, cluster))
  list(std_error = sqrt(colSums(sums^2)), scores = by_row(sums))
}
