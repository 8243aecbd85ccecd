# Synthetic difference-in-differences (Arkhangelsky, Athey, Hirshberg, Imbens and Wager 2021, American
# Economic Review 111(12), algorithm 1), for each date of adoption with those never treated.
#
#   source("synthetic_did.R", chdir = TRUE)
#   synthetic_did(cases, pilots = which(cohort > 0), placebos = NULL)
#
# The columns of `data` and the arguments are described in synthetic.R.

source("synthetic.R", local = TRUE)

# by  "cohort": weights follow the mean of those who adopt at a time; "pilot": each of them
synthetic_did <- function(data, pilots, placebos = NULL, aggregate = "event", average = "cases",
                          shape = "level", anticipation = 0, min_event = -Inf, max_event = Inf,
                          by = "cohort", least = NULL) {
  weigh <- function(panel, units, dates, count, block, free) {
    weights <- matrix(0, length(units), length(panel$cohort))
    times <- matrix(0, length(units), length(panel$periods))
    series <- lapply(dates, function(g) shaped(panel, g, shape))
    for (b in unique(block)) {
      inside <- which(block == b)
      date <- dates[inside[1]]
      before <- before_of(panel, date)
      after <- after_of(panel, date, max_event)
      x <- series[[inside[1]]]
      target <- drop((count[inside] / sum(count[inside])) %*% x[units[inside], , drop = FALSE])
      noise <- sd(apply(x[free, before, drop = FALSE], 1, diff))
      zeta <- (length(inside) * sum(after))^(1 / 4) * noise
      zeta <- max(zeta, 1e5 * panel$least / sqrt(sum(before)))
      weights[inside, free] <- rep(follow(t(x[free, before]), target[before], zeta),
                                   each = length(inside))
      # Where all change alike any periods foretell the later ones: all count the same.
      of_times <- rep(1 / sum(before), sum(before))
      if (noise > panel$least) {
        of_times <- follow(x[free, before], rowMeans(x[free, after, drop = FALSE]), 1e-6 * noise)
      }
      times[inside, before] <- rep(of_times, each = length(inside))
    }
    list(shaped = series, plain = weights, weights = weights, times = times)
  }
  synthetic(data, weigh, pilots, placebos, aggregate, average, shape, anticipation, min_event,
            max_event, by, least)
}

# Weights on the columns of A with which they follow b, up to an intercept.
follow <- function(A, b, zeta) {
  A <- sweep(A, 2, colMeans(A))
  b <- b - mean(b) - rowMeans(A)
  A <- A - rowMeans(A)
  ridge <- sqrt(nrow(A)) * zeta
  D <- crossprod(A) + ridge^2 * diag(ncol(A))
  weights <- simplex_weights(D, drop(crossprod(A, b)), list(seq_len(ncol(A))))
  refined(rbind(A, ridge * diag(ncol(A))), c(b, 0 * weights), weights)
}

# The same weights by least squares on the columns that have one: squares lose half of the digits, in
# which a small ridge is all that tells nearly alike columns apart.
refined <- function(A, b, weights) {
  k <- which(weights > 0)
  n <- length(k)
  if (n == 1) return(weights)
  even <- rep(1 / n, n)
  free <- qr.Q(qr(rep(1, n)), complete = TRUE)[, -1, drop = FALSE]
  A <- A[, k, drop = FALSE]
  found <- even + drop(free %*% qr.coef(qr(A %*% free, tol = 1e-15), b - drop(A %*% even)))
  if (anyNA(found) || any(found < 0)) return(weights)
  replace(weights, k, found)
}
