# What synthetic difference-in-differences and the augmented synthetic control share: authorities by
# periods, weights that are no less than zero and add up to one, effects, errors.
#
# `data` has a row for each authority and period, every authority in every period:
#   unit    number of the authority, 1, 2, ...
#   period  number of the period
#   cohort  first treated period, 0 for never
#   value   mean of the cases
#   weight  their summed weight; 0, with any value, where a treated authority has no cases from
#           treatment on

source("input.R", local = TRUE)
source("own_effects.R", local = TRUE)

# least  size below which differences are rounding errors about zero; NULL: of these values
panel_of <- function(data, anticipation, least = NULL) {
  check_input(data, c("unit", "period", "cohort", "value", "weight"), empty = "value")
  if (is.null(least)) least <- max(1e-10 * sd(data$value), 1e-14 * max(abs(data$value)))
  data <- data[order(data$period, data$unit), ]
  periods <- sort(unique(data$period))
  n <- nrow(data) / length(periods)
  matrix_of <- function(x) matrix(x, n, length(periods))
  cohort <- data$cohort[seq_len(n)]
  list(value = matrix_of(data$value), weight = matrix_of(data$weight), cohort = cohort,
       periods = periods, pool = which(cohort == 0), anticipation = anticipation,
       least = least)
}

# The dates of the pilots, in the order in which assignments name those who take their places.
before_of <- function(panel, date) panel$periods < date - panel$anticipation
after_of <- function(panel, date, max_event) {
  panel$periods >= date & panel$periods - date <= max_event
}

# Values less the mean, or less the straight line, of the periods before a date; "none": less the
# mean of the pool, which is the same for all.
#
# without  number of a period that mean or line are found without
shaped <- function(panel, date, shape, without = NULL) {
  before <- before_of(panel, date)
  before[without] <- FALSE
  if (shape == "none") return(panel$value - mean(panel$value[panel$pool, before]))
  x <- if (shape == "trend") cbind(1, panel$periods) else matrix(1, length(panel$periods), 1)
  slopes <- qr.coef(qr(x[before, , drop = FALSE]), t(panel$value[, before, drop = FALSE]))
  panel$value - t(x %*% slopes)
}

# Minimise g' D g / 2 - d' g over g >= 0 whose parts (lists of places) each add up to one. By quadprog
# (Goldfarb and Idnani 1983) where it is installed, else by following the constraints that bind.
simplex_weights <- function(D, d, parts) {
  if (!requireNamespace("quadprog", quietly = TRUE)) return(active_set(D, d, parts))
  A <- cbind(sapply(parts, function(p) +(seq_along(d) %in% p)), diag(length(d)))
  size <- mean(diag(D))
  found <- quadprog::solve.QP(D / size, d / size, A, c(rep(1, length(parts)), 0 * d),
                              meq = length(parts))$solution
  polish(D, d, parts, found > 1e-9)
}

# Given the weights that are not zero the others follow exactly; weights below zero are dropped and
# weights that would help are taken in, until neither is left.
polish <- function(D, d, parts, on) {
  for (step in seq_len(20 * length(d))) {
    g <- equality(D, d, parts, on)
    if (any(g$weights < 0)) {
      on[which.min(g$weights)] <- FALSE
      next
    }
    slope <- drop(D %*% g$weights - d) - g$multiplier
    slope[on] <- 0
    if (min(slope) >= -1e-10 * max(abs(D %*% g$weights), abs(d), 1e-300)) return(g$weights)
    on[which.min(slope)] <- TRUE
  }
  stop("weights that are no less than zero were not found")
}

equality <- function(D, d, parts, on) {
  k <- which(on)
  E <- sapply(parts, function(p) +(k %in% p))
  E <- matrix(E, length(k))
  m <- length(parts)
  size <- mean(diag(D))
  found <- solve(rbind(cbind(D[k, k] / size, E), cbind(t(E), matrix(0, m, m))),
                 c(d[k] / size, rep(1, m)))
  weights <- 0 * d
  weights[k] <- found[seq_along(k)]
  multiplier <- 0 * d
  for (j in seq_len(m)) multiplier[parts[[j]]] <- -size * found[length(k) + j]
  list(weights = weights, multiplier = multiplier)
}

# The same without a package: from equal weights, a step towards the best with the same zeros, as far
# as no weight falls below zero (Nocedal and Wright 2006, Numerical Optimization, algorithm 16.3).
active_set <- function(D, d, parts) {
  g <- 0 * d
  for (p in parts) g[p] <- 1 / length(p)
  on <- g > 0
  for (step in seq_len(50 * length(d))) {
    best <- equality(D, d, parts, on)
    move <- best$weights - g
    falls <- on & move < -1e-15
    reach <- ifelse(falls, g / pmax(-move, 1e-300), Inf)
    if (min(reach) < 1) {
      g <- pmax(g + min(reach) * move, 0)
      on[which.min(reach)] <- FALSE
      g[!on] <- 0
      next
    }
    g <- best$weights
    slope <- drop(D %*% g - d) - best$multiplier
    slope[on] <- 0
    if (min(slope) >= -1e-10 * max(abs(D %*% g), abs(d), 1e-300)) return(g)
    on[which.min(slope)] <- TRUE
  }
  stop("weights that are no less than zero were not found")
}

# The averages: a list of pilots x periods of 0 and 1.
averages_of <- function(panel, dates, aggregate, min_event, max_event) {
  event <- outer(dates, panel$periods, function(g, t) t - g)
  after <- event >= 0 & event <= max_event & panel$seen
  listed <- list()
  if (aggregate == "event") {
    for (e in sort(unique(event[panel$seen & event >= min_event & (event < 0 | after)]))) {
      listed[[paste0("event=", e)]] <- event == e & panel$seen
    }
  } else if (aggregate == "cohort") {
    for (g in unique(dates)) listed[[paste0("cohort=", g)]] <- after & dates == g
  } else if (aggregate == "calendar") {
    for (t in panel$periods[colSums(after) > 0]) {
      listed[[paste0("calendar=", t)]] <- after & matrix(panel$periods == t, nrow(after),
                                                        ncol(after), byrow = TRUE)
    }
  } else if (aggregate == "pilot") {
    for (j in seq_along(dates)) listed[[paste0("pilot=", j)]] <- after & seq_along(dates) == j
  }
  c(list(overall = after), listed)
}

# How much the effects of pilots in periods count.
counting <- function(panel, units, average) {
  if (average == "authorities") return(+panel$seen)
  panel$weight[units, , drop = FALSE] * panel$seen
}

# Effects of the pilots, or of those who take their places: J x T.
gaps_of <- function(found, units) {
  t(sapply(seq_along(units), function(j) {
    x <- found$shaped[[j]]
    left <- x[units[j], ] - drop(found$weights[j, ] %*% x)
    left - sum(left * found$times[j, ])
  }))
}

average_gaps <- function(gaps, chosen, weight) {
  vapply(chosen, function(m) sum(m * weight * gaps) / sum(m * weight), 0)
}

# What each authority adds to the averages, and how much each pilot counts.
contributions_of <- function(found, units, chosen, weight, gaps) {
  added <- counted <- matrix(0, ncol(found$weights), length(chosen))
  for (k in seq_along(chosen)) {
    share <- chosen[[k]] * weight / sum(chosen[[k]] * weight)
    for (j in seq_along(units)) {
      x <- found$shaped[[j]]
      x <- x - drop(x %*% found$times[j, ])
      series <- drop(x %*% share[j, ])
      w <- found$weights[j, ]
      counted[units[j], k] <- counted[units[j], k] + sum(share[j, ])
      added[units[j], k] <- added[units[j], k] + sum(share[j, ] * gaps[j, ])
      added[, k] <- added[, k] - w * (series - sum(w * series))
    }
  }
  list(added = added, counted = counted)
}

# Algorithm 3 of Arkhangelsky et al.: without each authority in turn, weights fixed.
jackknife_of <- function(found, units, free, chosen, weight) {
  without <- lapply(seq_along(units), function(j) {
    fewer <- found
    fewer$shaped <- found$shaped[-j]
    fewer$weights <- found$weights[-j, , drop = FALSE]
    fewer$times <- found$times[-j, , drop = FALSE]
    if (length(units) == 1) return(rep(NA_real_, length(chosen)))
    average_gaps(gaps_of(fewer, units[-j]), lapply(chosen, function(m) m[-j, , drop = FALSE]),
                 weight[-j, , drop = FALSE])
  })
  for (unit in free) {
    fewer <- found
    fewer$weights[, unit] <- 0
    fewer$weights <- fewer$weights / rowSums(fewer$weights)
    without <- c(without, list(average_gaps(gaps_of(fewer, units), chosen, weight)))
  }
  u <- do.call(rbind, without)
  u[!is.finite(u)] <- NA
  n <- nrow(u)
  sqrt((n - 1) / n * colSums(sweep(u, 2, colMeans(u))^2))
}

# Root mean squares before treatment: of what is left, with equal weights, of the series.
fit_of <- function(found, panel, units, dates, block, count, free) {
  even <- +(seq_along(panel$cohort) %in% free) / length(free)
  squares <- sapply(unique(block), function(b) {
    inside <- which(block == b)
    share <- count[inside] / sum(count[inside])
    before <- before_of(panel, dates[inside[1]])
    x <- found$shaped[[inside[1]]][, before, drop = FALSE]
    own <- drop(share %*% x[units[inside], , drop = FALSE])
    followed <- drop(share %*% found$plain[inside, , drop = FALSE] %*% x)
    length(inside) * c(mean((own - followed)^2), mean((own - drop(even %*% x))^2), mean(own^2))
  })
  sqrt(rowSums(matrix(squares, 3)) / length(units))
}

# Everything that is reported, given what finds the weights: weigh(panel, units, dates, count, block)
# gives shaped, plain, weights, times and perhaps further.
#
# pilots    numbers of the treated authorities, by date
# placebos  who takes their places: one row an assignment
synthetic <- function(data, weigh, pilots, placebos, aggregate, average, shape, anticipation,
                      min_event, max_event, by, least = NULL) {
  panel <- panel_of(data, anticipation, least)
  dates <- panel$cohort[pilots]
  block <- if (by == "cohort") match(dates, unique(dates)) else seq_along(dates)
  panel$seen <- panel$weight[pilots, , drop = FALSE] > 0
  chosen <- averages_of(panel, dates, aggregate, min_event, max_event)
  run <- function(units) {
    weight <- counting(panel, units, average)
    count <- rowSums(chosen$overall * weight)
    free <- setdiff(panel$pool, units)
    found <- weigh(panel, units, dates, count, block, free)
    c(found, list(weight = weight, free = free,
                  fit = fit_of(found, panel, units, dates, block, count, free),
                  estimate = average_gaps(gaps_of(found, units), chosen, weight)))
  }
  found <- run(pilots)
  parts <- contributions_of(found, pilots, chosen, found$weight, gaps_of(found, pilots))
  others <- if (length(placebos)) lapply(seq_len(nrow(placebos)), function(b) run(placebos[b, ]))
  c(list(term = names(chosen), estimate = unname(found$estimate), fit = found$fit,
         jackknife = jackknife_of(found, pilots, found$free, chosen, found$weight),
         placebos = if (length(others)) unlist(lapply(others, function(x) unname(x$estimate))),
         placebo_rmse = if (length(others)) vapply(others, function(x) x$fit[1], 0),
         further = found$further),
    own_effects(found$estimate, parts$added, parts$counted))
}
