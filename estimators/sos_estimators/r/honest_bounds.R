# Honest bounds of an event study's effect when trends need not be parallel, in base R.
#
# Rambachan, A. and Roth, J. (2023), A more credible approach to parallel trends, Review of Economic
# Studies 90(5), 2555-2591; tests from Andrews, I., Roth, J. and Pakes, A. (2023), Inference for
# linear conditional moment inequalities, Review of Economic Studies 90(6), 2763-2791.
#
#   source("honest_bounds.R")
#   honest_bounds(estimate, covariance, events, delta = "relative-magnitudes", m = c(0.5, 1),
#                 target = "average")
#
# estimate     coefficients of the event study; the reference -1 is not among them
# covariance   theirs, a matrix
# events       their event times, which follow each other without a gap about -1
# delta        "relative-magnitudes": a step of the differential trend after adoption is at most m
#              times the largest step before it; "smoothness": its slope changes by at most m from
#              one period to the next
# m            one or several numbers, 0 or more
# target       "average" of the lags, or one of them: "event=0"
# noise        draws of coefficients with that covariance about zero, one a column; each stands for
#              its opposite too. The first stage of the tests of relative magnitudes takes its
#              critical value from them. For the same numbers again, call set.seed() before.
#
# Returns a list: `intervals` (data frame: m, estimate, std_error, p_value of zero, conf_low,
# conf_high), `parallel` (the same for parallel trends), and `breakdown`, the smallest m whose
# interval holds zero (0 if that of m = 0 does, Inf if none does).
honest_bounds <- function(estimate, covariance, events, delta = "relative-magnitudes", m = 1,
                          target = "average", conf_level = 0.95, draws = 10000,
                          noise = draw_noise(covariance[order(events), order(events)], draws)) {
  delta <- match.arg(delta, c("relative-magnitudes", "smoothness"))
  if (!all(is.finite(m) & m >= 0)) stop("Values of m must be 0 or more.")
  path <- event_path(estimate, as.matrix(covariance), events, target)
  parallel <- parallel_trends(path, conf_level)
  if (delta == "smoothness") {
    estimators <- best_estimators(path)
    at <- function(value) shortest_interval(path, estimators, value, conf_level)
    holds_zero <- function(value) {
      found <- at(value)
      found$conf_low <= 0 && 0 <= found$conf_high
    }
    breakdown <- breakdown_value(holds_zero, parallel$std_error, 1e6 * parallel$std_error)
  } else {
    size <- 1 - conf_level
    at <- function(value) {
      tests <- set_up_tests(path, value, noise)
      ends <- confidence_set(tests, parallel$estimate, size)
      data.frame(m = value, estimate = parallel$estimate, std_error = parallel$std_error,
                 p_value = size_of_rejection(tests, 0), conf_low = ends[1], conf_high = ends[2])
    }
    holds_zero <- function(value) is_accepted(set_up_tests(path, value, noise), 0, size)
    breakdown <- breakdown_value(holds_zero, 1, 1000)
  }
  list(intervals = do.call(rbind, lapply(m, at)), parallel = parallel, breakdown = breakdown)
}

# The same on a data frame with the columns `estimate` and `event`.
honest_bounds_of <- function(data, covariance, ...) {
  honest_bounds(data$estimate, covariance, data$event, ...)
}

draw_noise <- function(covariance, draws = 10000) {
  e <- eigen(covariance, symmetric = TRUE)
  root <- e$vectors %*% diag(sqrt(pmax(e$values, 0)), nrow(covariance))
  root %*% matrix(rnorm(nrow(covariance) * (draws %/% 2)), nrow(covariance))
}

# Coefficients in order of time, and the weights of lags that make up the target.
event_path <- function(estimate, covariance, events, target) {
  p <- length(events)
  if (length(estimate) != p || !identical(dim(covariance), c(p, p))) {
    stop("Each event time needs a coefficient, and a row and a column of the covariance.")
  }
  order <- order(events)
  events <- events[order]
  if (!all(is.finite(estimate), is.finite(covariance))) {
    stop("Coefficients or their covariance have missing or infinite values.")
  }
  if (min(events) > -2 || max(events) < 0 ||
      !identical(as.numeric(events), as.numeric(setdiff(min(events):max(events), -1)))) {
    stop("Event times must follow each other without a gap before and after the reference -1.")
  }
  lags <- events[events >= 0]
  weights <- if (target == "average") {
    rep(1 / length(lags), length(lags))
  } else {
    as.numeric(paste0("event=", lags) == target)
  }
  if (sum(weights) == 0) stop("The target '", target, "' is no lag of the event study.")
  list(estimate = estimate[order], V = covariance[order, order], n_pre = sum(events < 0),
       weights = weights)
}

parallel_trends <- function(path, conf_level) {
  w <- c(rep(0, path$n_pre), path$weights)
  estimate <- sum(w * path$estimate)
  error <- sqrt(drop(w %*% path$V %*% w))
  half <- qnorm((1 + conf_level) / 2) * error
  data.frame(m = 0, estimate = estimate, std_error = error,
             p_value = 2 * pnorm(-abs(estimate) / error),
             conf_low = estimate - half, conf_high = estimate + half)
}

# By doubling and then halving, to four digits; beyond `largest` it is infinite.
breakdown_value <- function(holds_zero, first, largest) {
  if (holds_zero(0)) return(0)
  low <- 0
  high <- first
  while (!holds_zero(high)) {
    low <- high
    high <- 2 * high
    if (high > largest) return(Inf)
  }
  for (i in 1:14) {
    middle <- (low + high) / 2
    if (holds_zero(middle)) high <- middle else low <- middle
  }
  high
}

# ---- relative magnitudes -------------------------------------------------------------------------
# The restriction is a union of polyhedra: one for each step before adoption that may be the largest
# and each sign of it. Call that step v, the steps after adoption d, and the target sum(L * d).
# Given a value theta of the target, the dual of a polyhedron's test has these extreme rays alone:
#   sum(L * d) - theta <= m sum(|L|) v,   theta - sum(L * d) <= m sum(|L|) v,   and 0 <= 2 m v once
# for each step after adoption, each over the standard deviations of the inequalities it is made of.

FIRST_STAGE <- 0.1     # share of the size that the least favourable test takes
SCAN <- 201            # values at which a polyhedron is scanned before ends are refined
HALVINGS <- 30         # that refine an end, or a p value
NO_VARIANCE <- 1e-12   # share of the largest variance below which an inequality holds anyway
SAME <- 1e-10          # correlations with the binding inequality closer to one are one

# A list with an element for each polyhedron: inequalities z + slope * theta <= 0, their covariance,
# and draws of the largest of them when all hold with equality, sorted.
set_up_tests <- function(path, m, noise) {
  p <- length(path$estimate)
  level <- diag(p)
  level <- rbind(level[seq_len(path$n_pre), , drop = FALSE], 0,
                 level[-seq_len(path$n_pre), , drop = FALSE])
  steps <- diff(level)
  before <- steps[seq_len(path$n_pre), , drop = FALSE]
  after <- steps[-seq_len(path$n_pre), , drop = FALSE]
  largest <- rbind(before, -before)
  made <- lapply(seq_len(nrow(largest)), function(j) extreme_rays(path, largest[j, ], after, m))
  most <- max(vapply(made, function(x) max(variances(x$rays, path$V)), 0))
  lapply(made, function(x) {
    live <- variances(x$rays, path$V) > NO_VARIANCE * most
    rays <- x$rays[live, , drop = FALSE]
    drawn <- rays %*% noise
    drawn <- unname(split(drawn, row(drawn)))
    list(z = drop(rays %*% path$estimate), slope = x$slope[live],
         V = rays %*% path$V %*% t(rays),
         worst = sort(c(do.call(pmax, drawn), -do.call(pmin, drawn))))
  })
}

extreme_rays <- function(path, v, after, m) {
  n <- nrow(after)
  L <- rev(cumsum(rev(path$weights)))
  v <- matrix(v, n, length(v), byrow = TRUE)
  up <- sqrt(variances(after - m * v, path$V))
  down <- sqrt(variances(-after - m * v, path$V))
  above <- or_one(sum(abs(L) * ifelse(L > 0, up, down)))
  below <- or_one(sum(abs(L) * ifelse(L > 0, down, up)))
  bound <- m * sum(abs(L)) * v[1, ]
  target <- drop(L %*% after)
  list(rays = rbind((target - bound) / above, (-target - bound) / below, -2 * m * v / or_one(up + down)),
       slope = c(-1 / above, 1 / below, rep(0, n)))
}

variances <- function(rows, V) pmax(rowSums((rows %*% V) * rows), 0)

# Of zero variance are inequalities that hold anyway: see NO_VARIANCE.
or_one <- function(size) ifelse(size > 0, size, 1)

# Critical value of the least favourable first stage.
critical_value <- function(polyhedron, size) {
  last <- length(polyhedron$worst)
  place <- 1 + (1 - FIRST_STAGE * size) * (last - 1)
  left <- floor(place)
  share <- place - left
  (1 - share) * polyhedron$worst[left] + share * polyhedron$worst[min(left + 1, last)]
}

# Whether the hybrid test of one polyhedron accepts values of the target.
accepts <- function(polyhedron, theta, critical, size) {
  n <- length(theta)
  z <- outer(theta, polyhedron$slope) + rep(polyhedron$z, each = n)
  binding <- max.col(z, ties.method = "first")
  eta <- z[cbind(seq_len(n), binding)]
  variance <- diag(polyhedron$V)[binding]
  # the binding inequality stays so between `low` and `high`, what is independent of it held fixed
  rho <- polyhedron$V[binding, , drop = FALSE] / variance
  ends <- (z - rho * eta) / (1 - rho)
  low <- pmin(apply(ifelse(1 - rho > SAME, ends, -Inf), 1, max), eta)
  high <- pmax(apply(ifelse(1 - rho < -SAME, ends, Inf), 1, min), eta)
  sd <- sqrt(variance)
  second <- (size - FIRST_STAGE * size) / (1 - FIRST_STAGE * size)
  quantile <- sd * truncated_normal_quantile(1 - second, low / sd, pmin(high, critical) / sd)
  eta <= critical & eta <= pmax(quantile, 0)
}

# On the side where tails are small, and in logarithms: limits may be far out.
truncated_normal_quantile <- function(share, low, high) {
  high <- pmax(low, high)
  flip <- low > 0
  a <- pnorm(ifelse(flip, -high, low), log.p = TRUE)
  b <- pnorm(ifelse(flip, -low, high), log.p = TRUE)
  p <- ifelse(flip, 1 - share, share)
  mixed <- b + log(p + (1 - p) * exp(a - b))
  pmin(pmax(ifelse(flip, -1, 1) * qnorm(pmin(mixed, 0), log.p = TRUE), low), high)
}

is_accepted <- function(tests, theta, size) {
  any(vapply(tests, function(x) accepts(x, theta, critical_value(x, size), size), NA))
}

# The p value: the smallest size at which a value is rejected.
size_of_rejection <- function(tests, theta) {
  low <- 0
  high <- 1
  for (i in seq_len(HALVINGS)) {
    middle <- (low + high) / 2
    if (is_accepted(tests, theta, middle)) low <- middle else high <- middle
  }
  high
}

# The smallest interval that holds all values that some polyhedron accepts.
confidence_set <- function(tests, centre, size) {
  range(unlist(lapply(tests, function(x) accepted_range(x, centre, size))))
}

accepted_range <- function(polyhedron, centre, size) {
  critical <- critical_value(polyhedron, size)
  ends <- (critical - polyhedron$z) / polyhedron$slope
  first <- max(ends[polyhedron$slope < 0])
  last <- min(ends[polyhedron$slope > 0])
  if (last < first) return(NULL)
  grid <- sort(c(seq(first, last, length.out = SCAN), min(max(centre, first), last)))
  accepted <- which(accepts(polyhedron, grid, critical, size))
  if (!length(accepted)) return(NULL)
  inner <- grid[range(accepted)]
  outer <- grid[pmin(pmax(range(accepted) + c(-1, 1), 1), length(grid))]
  for (i in seq_len(HALVINGS)) {
    middle <- (inner + outer) / 2
    yes <- accepts(polyhedron, middle, critical, size)
    inner <- ifelse(yes, middle, inner)
    outer <- ifelse(yes, outer, middle)
  }
  inner
}

# ---- smoothness ----------------------------------------------------------------------------------
# An estimator weights leads so that a straight line has no effect on it. Counted back from the
# reference, v[t] = u[t-1] - 2 u[t] + u[t+1] with u[0] the slope of the target, and the worst bias
# is m (a constant + sum(|u|)). So bias and variance are traded off best along the path of a lasso.

PER_PIECE <- 12   # estimators looked at on a piece of the path before the best is refined

# Weights of all coefficients at the knots of the path (one a row), and their worst bias for m = 1.
best_estimators <- function(path) {
  correlation <- cov2cor(path$V)
  values <- eigen(correlation, symmetric = TRUE, only.values = TRUE)$values
  if (min(values) <= max(values) * nrow(correlation) * .Machine$double.eps) {
    stop("The covariance is singular: bounds under smoothness need its inverse.")
  }
  n <- path$n_pre
  lags <- seq_along(path$weights)
  slope <- sum(lags * path$weights)
  second <- outer(seq_len(n), seq_len(n) - 1, function(t, s) (abs(t - s) == 1) - 2 * (t == s))
  leads <- second[rev(seq_len(n)), , drop = FALSE]
  fixed <- c(leads[, 1] * slope, path$weights)
  change <- rbind(leads[, -1, drop = FALSE], matrix(0, length(lags), n - 1))
  u <- lasso_path(t(change) %*% path$V %*% change, -drop(t(change) %*% path$V %*% fixed))
  ahead <- pmax(outer(lags, lags, "-"), 0)
  list(weights = t(fixed + change %*% t(u)),
       bias = sum(abs(path$weights %*% ahead)) + abs(slope) + rowSums(abs(u)))
}

# Knots (one a row) of the minimisers of u'Gu / 2 - b'u + lambda sum(|u|), from u = 0 to lambda = 0.
# Between two knots the same places are not zero, and u moves on a straight line.
lasso_path <- function(G, b) {
  u <- numeric(length(b))
  knots <- matrix(u, 1)
  if (!length(b) || max(abs(b)) == 0) return(knots)
  lambda <- max(abs(b))
  none <- 1e-12 * lambda
  active <- which.max(abs(b))
  while (lambda > none) {
    pull <- b - drop(G %*% u)
    move <- solve(G[active, active, drop = FALSE], sign(pull[active]))
    turn <- drop(G[, active, drop = FALSE] %*% move)
    joins <- cbind((lambda - pull) / (1 - turn), (lambda + pull) / (1 + turn))
    joins[active, ] <- Inf
    leaves <- -u[active] / move
    usable <- function(x) ifelse(is.finite(x) & x > none, x, Inf)
    step <- min(lambda, usable(joins), usable(leaves))
    u[active] <- u[active] + step * move
    lambda <- lambda - step
    gone <- active[usable(leaves) == step]
    u[gone] <- 0
    joined <- which(apply(matrix(usable(joins) == step, ncol = 2), 1, any))
    active <- sort(c(setdiff(active, gone), joined))
    knots <- rbind(knots, u, deparse.level = 0)
  }
  knots
}

# The shortest interval about an estimator on the path.
shortest_interval <- function(path, estimators, m, conf_level) {
  knots <- seq_along(estimators$bias)
  on_path <- function(place) {
    left <- pmin(floor(place), length(knots))
    right <- pmin(left + 1, length(knots))
    share <- place - left
    v <- (1 - share) * estimators$weights[left, , drop = FALSE] +
      share * estimators$weights[right, , drop = FALSE]
    sd <- sqrt(variances(v, path$V))
    bias <- m * ((1 - share) * estimators$bias[left] + share * estimators$bias[right])
    list(v = v, sd = sd, bias = bias, half = sd * folded_normal_quantile(conf_level, bias / sd))
  }
  places <- seq(1, length(knots), length.out = max(length(knots) - 1, 1) * PER_PIECE + 1)
  half <- on_path(places)$half
  place <- places[which.min(half)]
  near <- places[pmin(pmax(which.min(half) + c(-1, 1), 1), length(places))]
  if (near[2] > near[1] && m > 0) {
    found <- optimize(function(x) on_path(x)$half, near, tol = 1e-10)
    if (found$objective < min(half)) place <- found$minimum
  }
  best <- on_path(place)
  estimate <- sum(best$v * path$estimate)
  data.frame(m = m, estimate = estimate, std_error = best$sd,
             p_value = pnorm((best$bias - abs(estimate)) / best$sd) +
               pnorm((-abs(estimate) - best$bias) / best$sd),
             conf_low = estimate - best$half, conf_high = estimate + best$half)
}

# Quantile of |N(bias, 1)|, by halving down to rounding.
folded_normal_quantile <- function(share, bias) {
  low <- pmax(bias + qnorm(share), 0)
  high <- bias + qnorm((1 + share) / 2)
  for (i in 1:60) {
    middle <- (low + high) / 2
    below <- pnorm(middle - bias) - pnorm(-middle - bias) < share
    low <- ifelse(below, middle, low)
    high <- ifelse(below, high, middle)
  }
  (low + high) / 2
}
