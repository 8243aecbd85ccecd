# Fixed and random effects of units, Hausman's and Mundlak's tests, in base R.
#
#   source("panel_effects.R", chdir = TRUE)
#   panel_effects(cases, covariates = c("age", "sex"))
#
# One row is one case, with the columns value, weight, D (pilot x after), treated, post, unit (whose
# effects), cluster, period, and covariates as numbers. Random effects by the variances of Swamy and Arora,
# for units of different size by Baltagi and Chang (1994). D has to vary within units beside the other
# columns, and there have to be more units than columns that differ between units.

source("input.R", local = TRUE)

# Returns the estimates and errors by cluster (CR1) of D with fixed effects, with random effects, and of
# the mean of D by unit beside random effects; the two variances, the mean share taken off of means
# (theta), errors for independent cases; and statistic, degrees of freedom and p value of both tests.
panel_effects <- function(data, covariates = character()) {
  check_input(data, c("value", "weight", "D", "treated", "post", "unit", "cluster",
                      "period"), covariates)
  unit <- factor(data$unit)
  later <- sort(unique(data$period))[-1]
  x <- cbind(1, 1 * outer(data$period, later, "=="), data$treated, data$post,
             as.matrix(data[covariates]), data$D)
  dimnames(x) <- NULL
  k <- ncol(x)
  y <- data$value
  w <- data$weight / mean(data$weight)
  n <- as.vector(rowsum(w, as.integer(unit)))
  mean_of <- function(column) as.vector(rowsum(w * column, as.integer(unit))) / n
  own_mean <- function(column) mean_of(column)[as.integer(unit)]
  centred <- function(column) column - own_mean(column)
  within <- panel_lm(apply(x, 2, centred), centred(y), w, data$cluster, nlevels(unit), x)

  # Regression of means, one row a unit.
  means <- apply(x, 2, mean_of)
  between <- panel_lm(means, mean_of(y), n, seq_along(n), 0, means)
  means <- means[, between$kept, drop = FALSE]
  trace <- sum(diag(between$bread %*% crossprod(means * n)))
  within_variance <- within$variance
  of_effects <- max(0, (between$squares - (length(n) - ncol(means)) * within_variance) /
                      (sum(n) - trace))
  theta <- (1 - sqrt(within_variance / (within_variance + n * of_effects)))[unit]

  less <- function(column) column - theta * own_mean(column)
  random <- panel_lm(apply(x, 2, less), less(y), w, data$cluster, 0, x)
  varying <- which(within$kept)
  bar <- apply(x[, varying, drop = FALSE], 2, own_mean)
  beside <- cbind(x, bar)
  extended <- panel_lm(apply(beside, 2, less), less(y), w, data$cluster, 0, beside)

  compared <- which(within$kept & random$kept)
  compared <- compared[compared > k - length(covariates) - 2]
  at_means <- k + match(compared, varying)
  at_means <- at_means[extended$kept[at_means]]
  last <- ncol(extended$clustered)
  list(
    estimate = c(within$estimate[k], random$estimate[k], extended$estimate[last]),
    std_error = sqrt(c(within$clustered[k, k], random$clustered[k, k],
                       extended$clustered[last, last])),
    variance_within = within_variance,
    variance_of_effects = of_effects,
    theta = mean(theta),
    fixed_std_error_iid = sqrt(within$plain[k, k]),
    random_std_error_iid = sqrt(random$plain[k, k]),
    hausman = hausman_test(within, random, compared),
    mundlak = f_test(extended$estimate[at_means], extended$clustered[at_means, at_means],
                     length(unique(data$cluster)))
  )
}

# Least squares with covariances for independent errors and by cluster, missing where collinear; raw are
# the columns before effects were taken out of them.
panel_lm <- function(x, y, w, cluster, spent, raw) {
  kept <- independent(x * sqrt(w), sqrt(colSums(w * raw^2)))
  used <- which(kept)
  x_used <- x[, used, drop = FALSE]
  fit <- qr(x_used * sqrt(w), tol = 0)
  beta <- qr.coef(fit, y * sqrt(w))
  residual <- as.vector(y - x_used %*% beta)
  bread <- chol2inv(qr.R(fit))
  squares <- sum(w * residual^2)
  variance <- squares / (length(y) - spent - length(used))
  influence <- rowsum(x_used * (w * residual), cluster) %*% bread
  G <- nrow(influence)
  estimate <- rep(NA_real_, ncol(x))
  estimate[used] <- beta
  whole <- function(part) {
    all <- matrix(NA_real_, ncol(x), ncol(x))
    all[used, used] <- part
    all
  }
  list(kept = kept, estimate = estimate, squares = squares, variance = variance, bread = bread,
       plain = whole(variance * bread), clustered = whole(G / (G - 1) * crossprod(influence)))
}

# Columns of which those before them leave more than 1e-7 of what they were long. The rule of lm, which
# compares with the column that it is given, would keep the rounding errors of a column that effects
# take out wholly.
independent <- function(x, lengths) {
  triangle <- function(columns) qr.R(qr(columns, tol = 0))
  kept <- rep(TRUE, ncol(x))
  whole <- triangle(x)
  r <- whole
  repeat {
    left <- numeric(ncol(x))
    left[which(kept)[seq_len(min(dim(r)))]] <- abs(diag(r))
    gone <- which(kept & left <= 1e-7 * lengths)
    if (!length(gone)) return(kept)
    kept[gone[1]] <- FALSE
    if (!any(kept)) return(kept)
    r <- triangle(whole[, kept, drop = FALSE])
  }
}

# Each covariance with its own residual variance; where the difference is then no covariance, both with
# that of random effects.
hausman_test <- function(within, random, compared) {
  q <- length(compared)
  if (!q) return(c(NA_real_, 0, NA_real_))
  difference <- within$estimate[compared] - random$estimate[compared]
  for (common in c(FALSE, TRUE)) {
    factor <- if (common) random$variance / within$variance else 1
    V <- as.matrix(factor * within$plain[compared, compared] - random$plain[compared, compared])
    scale <- sqrt(abs(diag(V)))
    scale[scale == 0] <- 1
    values <- eigen(V / outer(scale, scale), symmetric = TRUE, only.values = TRUE)$values
    if (min(values) > 1e-10 * max(1, values)) {
      statistic <- sum(difference * solve(V, difference))
      return(c(statistic, q, pchisq(statistic, q, lower.tail = FALSE)))
    }
  }
  c(NA_real_, q, NA_real_)
}

f_test <- function(estimate, V, G) {
  q <- length(estimate)
  V <- as.matrix(V)
  if (q == 0 || q > G - 1) return(c(NA_real_, q, NA_real_))
  scale <- sqrt(diag(V))
  if (any(scale == 0)) return(c(NA_real_, q, NA_real_))
  R <- V / outer(scale, scale)
  if (qr(R)$rank < q) return(c(NA_real_, q, NA_real_))
  statistic <- sum((estimate / scale) * solve(R, estimate / scale)) / q
  c(statistic, q, pf(statistic, q, G - 1, lower.tail = FALSE))
}
