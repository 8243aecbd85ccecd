# Partially pooled synthetic control of staggered adoption (Ben-Michael, Feller and Rothstein 2022,
# Journal of the Royal Statistical Society B 84(2)), with a level of each authority, or a line, and
# ridge regression for what weights leave (Ben-Michael, Feller and Rothstein 2021, Journal of the
# American Statistical Association 116(536)).
#
#   source("augmented_synthetic_control.R", chdir = TRUE)
#   augmented_synthetic_control(cases, pilots = which(cohort > 0), placebos = NULL)
#
# The columns of `data` and the arguments are described in synthetic.R.

source("synthetic.R", local = TRUE)

# pooling  how much following the mean counts; NULL: the ratio of both imbalances when each pilot is
#          followed by itself
# penalty  of squared weights, as a share of the variance of changes in the pool
# lags     periods before treatment to follow
# augment  "ridge" or "none"
augmented_synthetic_control <- function(data, pilots, placebos = NULL, aggregate = "event",
                                        average = "cases", shape = "level", anticipation = 0,
                                        min_event = -Inf, max_event = Inf, pooling = NULL,
                                        penalty = 0.1, lags = Inf, augment = "ridge",
                                        least = NULL) {
  weigh <- function(panel, units, dates, count, block, free) {
    series <- lapply(dates, function(g) shaped(panel, g, shape))
    n_before <- sapply(dates, function(g) sum(before_of(panel, g)))
    length <- min(lags, max(n_before))
    early <- panel$value[free, before_of(panel, max(dates)), drop = FALSE]
    noise <- max(var(as.vector(apply(early, 1, diff))), (1e5 * panel$least)^2)
    ridge <- penalty * noise / length(units)
    problem <- lagged(series, n_before, length, units, free, ridge)
    alone <- apart(problem)
    weights <- alone
    size <- sizes(problem, alone)
    nu <- pooling
    if (is.null(nu)) nu <- if (size$mean > 0) size$together * sqrt(length) / size$mean else 0
    nu <- min(nu, 0.999)
    if (length(units) > 1 && nu > 0) {
      weights <- together(problem, nu, size$apart^2 / max(size$together^2, 1e-12 * noise))
    }
    plain <- weights
    share <- 0
    if (augment == "ridge") {
      share <- choose_penalty(length, noise, function(place) {
        leave_out(panel, units, dates, free, shape, n_before, length, place, ridge)
      })
      weights <- weights + ridge_weights(problem, left_of(problem, weights), share, noise)
    }
    size <- sizes(problem, plain)
    whole <- function(w) {
      all <- matrix(0, length(units), length(panel$cohort))
      all[, free] <- w
      all
    }
    list(shaped = series, plain = whole(plain), weights = whole(weights),
         times = matrix(0, length(units), length(panel$periods)),
         further = list(pooling = nu, ridge_penalty = share, fit_before_mean = size$together,
                        fit_before_each = size$apart))
  }
  synthetic(data, weigh, pilots, placebos, aggregate, average, shape, anticipation, min_event,
            max_event, by = "pilot", least = least)
}

# The last periods before treatment of each pilot, on the right; zero where there is none. The mean
# of the pool, which weights that add up to one do not see, is taken off.
lagged <- function(series, n_before, length, units, free, ridge) {
  values <- lapply(seq_along(units), function(j) {
    kept <- seq_len(n_before[j])
    kept <- kept[kept > n_before[j] - length]
    x <- matrix(0, nrow(series[[j]]), length)
    of_pool <- colMeans(series[[j]][free, kept, drop = FALSE])
    x[, length - rev(seq_along(kept)) + 1] <- sweep(series[[j]][, kept, drop = FALSE], 2, of_pool)
    x
  })
  there <- t(sapply(n_before, function(n) rev(seq_len(length)) <= n))
  list(x = lapply(values, function(x) x[free, , drop = FALSE]),
       target = do.call(rbind, Map(function(x, u) x[u, ], values, units)),
       there = matrix(there, length(units)), ridge = ridge)
}

# The same without one place, and what is in it; levels and lines are found without it too.
leave_out <- function(panel, units, dates, free, shape, n_before, length, place, ridge) {
  period <- n_before - length + place
  series <- lapply(seq_along(units), function(j) {
    shaped(panel, dates[j], shape, if (period[j] > 0) period[j])
  })
  whole <- lagged(series, n_before, length, units, free, ridge)
  has <- whole$there[, place]
  fewer <- whole
  fewer$there[, place] <- FALSE
  fewer$x <- lapply(whole$x, function(x) replace(x, cbind(seq_len(nrow(x)), place), 0))
  fewer$target[, place] <- 0
  needed <- c(level = 2, trend = 3, none = 2)[[shape]]
  list(fewer = fewer, whole = whole, has = has & rowSums(fewer$there) >= needed)
}

left_of <- function(problem, weights) {
  followed <- lapply(seq_along(problem$x), function(j) drop(weights[j, ] %*% problem$x[[j]]))
  problem$target - do.call(rbind, followed)
}

sizes <- function(problem, weights) {
  left <- left_of(problem, weights)
  squares <- rowSums(left^2)
  list(together = sqrt(sum(colMeans(left)^2) / ncol(left)),
       apart = sqrt(mean(squares / rowSums(problem$there))), mean = mean(sqrt(squares)))
}

# Each pilot followed by itself.
apart <- function(problem) {
  J <- length(problem$x)
  t(sapply(seq_len(J), function(j) {
    A <- t(problem$x[[j]])
    scale <- 1 / (J * max(sum(problem$there[j, ]), 1))
    D <- scale * crossprod(A) + problem$ridge * diag(ncol(A))
    simplex_weights(D, scale * drop(crossprod(A, problem$target[j, ])), list(seq_len(ncol(A))))
  }))
}

# Each and their mean at once: one problem in the weights of all pilots.
together <- function(problem, nu, ratio) {
  J <- length(problem$x)
  L <- ncol(problem$target)
  n <- nrow(problem$x[[1]])
  A <- matrix(0, J * L, J * n)
  for (j in seq_len(J)) A[(j - 1) * L + seq_len(L), (j - 1) * n + seq_len(n)] <- t(problem$x[[j]])
  b <- as.vector(t(problem$target))
  W <- (1 - nu) * diag(rep(1 / (J * rowSums(problem$there)), each = L), J * L) +
    nu * ratio * kronecker(matrix(1, J, J), diag(L)) / (J^2 * L)
  D <- crossprod(A, W %*% A) + problem$ridge * diag(J * n)
  parts <- lapply(seq_len(J), function(j) (j - 1) * n + seq_len(n))
  matrix(simplex_weights(D, drop(crossprod(A, W %*% b)), parts), J, byrow = TRUE)
}

# What ridge regression of later on earlier values in the pool adds to weights.
ridge_weights <- function(problem, left, share, noise) {
  t(sapply(seq_along(problem$x), function(j) {
    centred <- sweep(problem$x[[j]], 2, colMeans(problem$x[[j]]))
    products <- crossprod(centred)
    largest <- max(eigen(products, symmetric = TRUE, only.values = TRUE)$values)
    penalty <- max(share * largest, 1e-12 * noise)
    drop(centred %*% solve(products + penalty * diag(ncol(products)), left[j, ]))
  }))
}

# The penalty that foretells a left-out earlier period: of those within one standard error of the
# best, the largest. As a share of the largest eigenvalue.
choose_penalty <- function(length, noise, leave_out) {
  shares <- 10^seq(0, -8, length.out = 21)
  errors <- lapply(seq_len(length), function(place) {
    out <- leave_out(place)
    if (!any(out$has)) return(NULL)
    weights <- apart(out$fewer)
    left <- left_of(out$fewer, weights)
    vapply(shares, function(share) {
      all <- weights + ridge_weights(out$fewer, left, share, noise)
      mean((left_of(out$whole, all)[out$has, place])^2)
    }, 0)
  })
  errors <- do.call(rbind, errors)
  if (is.null(errors) || nrow(errors) < 2) return(1)
  mean <- colMeans(errors)
  best <- which.min(mean)
  shares[which(mean <= mean[best] + sd(errors[, best]) / sqrt(nrow(errors)))[1]]
}
