# Group-time average treatment effects and their averages, in base R.
#
# Callaway, B. and Sant'Anna, P. H. C. (2021), Difference-in-differences with multiple time periods,
# Journal of Econometrics 225(2), 200-230; doubly robust and weighting estimators of each comparison
# from Sant'Anna, P. H. C. and Zhao, J. (2020), Doubly robust difference-in-differences estimators,
# Journal of Econometrics 219(1), 101-122.
#
# To use it by hand:
#
#   source("callaway_santanna.R", chdir = TRUE)
#   effects <- group_time_effects(data, covariates = "age", control = "notyettreated")
#   average_effects(effects, "event")
#
# or both steps at once with callaway_santanna(data, aggregate = "event").
#
# `data` has one row a case (a repeated cross-section) or, with a column `id`, one row an id and
# period (a panel). Columns: period, cohort (first treated period, 0 = never), value, weight
# (1 if absent), cluster (the row or the id if absent), group (with ids that serve in several
# matched groups), and the covariates: numbers enter linearly, text and factors as dummies.

callaway_santanna <- function(data, covariates = character(0), control = "nevertreated",
                              method = "dr", base = "varying", anticipation = 0,
                              aggregate = "group-time", min_event = -Inf, max_event = Inf,
                              overlap = 0.999, trim = 0.995, scores = "exact",
                              own_effects = FALSE) {
  effects <- group_time_effects(data, covariates, control, method, base, anticipation,
                                overlap, trim, scores)
  post <- effects$cells$period >= effects$cells$cohort & !is.na(effects$cells$att)
  if (!any(post)) {  # the caller says why, of the effects that are missing
    none <- list(term = character(0), estimate = numeric(0), std_error = numeric(0))
    return(c(none, list(missing = effects$missing$term, reason = effects$missing$reason)))
  }
  averages <- average_effects(effects, aggregate, min_event, max_event)
  covariance <- attr(averages, "covariance")
  own <- if (own_effects) {
    parts <- attr(averages, "own")
    own_effects(averages$estimate, parts$contributions, parts$shares)
  }
  c(list(term = averages$term, estimate = averages$estimate, std_error = averages$std_error,
         covaried = as.character(rownames(covariance)), covariance = as.vector(covariance),
         missing = effects$missing$term, reason = effects$missing$reason), own)
}

source("input.R", local = TRUE)
source("own_effects.R", local = TRUE)

# ---- group-time effects --------------------------------------------------------------------------

# Returns a list: `cells` (data frame cohort, period, base, att), `scores` (clusters x cells, what
# each cluster contributes to each estimation error), `size` (clusters x cohorts, weight of each
# cluster in each cohort), `cohorts`, and `missing` (data frame term, reason: effects that could not
# be estimated).
group_time_effects <- function(data, covariates = character(0), control = "nevertreated",
                               method = "dr", base = "varying", anticipation = 0,
                               overlap = 0.999, trim = 0.995, scores = "exact") {
  control <- match.arg(control, c("nevertreated", "notyettreated"))
  method <- match.arg(method, c("dr", "reg", "ipw"))
  base <- match.arg(base, c("varying", "universal"))
  how <- list(control = control, method = method, anticipation = anticipation,
              overlap = overlap, trim = trim, scores = scores)
  data <- usable_rows(data, how)
  X <- design_matrix(data, covariates)
  cells <- planned_cells(data, base, anticipation)
  cells$att <- NA_real_
  clusters <- as.integer(factor(data$cluster))
  contributions <- matrix(0, max(clusters), nrow(cells))
  missing <- data.frame(term = character(0), reason = character(0))
  for (j in seq_len(nrow(cells))) {
    cell <- cells[j, ]
    if (cell$period == cell$base) {
      cells$att[j] <- 0
      next
    }
    effect <- tryCatch(one_effect(data, X, cell, how), not_estimable = function(why) why)
    if (inherits(effect, "not_estimable")) {
      missing[nrow(missing) + 1, ] <- c(term_of(cell), conditionMessage(effect))
      next
    }
    cells$att[j] <- effect$att
    summed <- rowsum(effect$scores, clusters[effect$rows])
    contributions[as.integer(rownames(summed)), j] <- summed
  }
  cohorts <- unique(cells$cohort)
  list(cells = cells, scores = contributions, size = cohort_sizes(data, cohorts, clusters),
       cohorts = cohorts, missing = missing)
}

term_of <- function(cell) sprintf("ATT(%s,%s)", cell$cohort, cell$period)

not_estimable <- function(...) {
  stop(structure(class = c("not_estimable", "error", "condition"),
                 list(message = paste0(...), call = NULL)))
}

# Rows that can be used: cohorts treated after the last period (plus anticipation) count as never
# treated, those treated in the first period have nothing before and go, and without any
# never-treated row the periods that have no comparison go. Adds the column
# `.key` and the attributes `panel`, `balanced` and `last`.
usable_rows <- function(data, how) {
  check_input(data, c("value", "period", "cohort"))
  if (is.null(data[["weight"]])) data$weight <- 1
  data <- data[data$weight > 0, , drop = FALSE]
  panel <- !is.null(data[["id"]])
  data$.key <- if (!panel) seq_len(nrow(data)) else {
    id <- as.character(data[["id"]])
    if (is.null(data[["group"]])) id else paste(id, data[["group"]], sep = "\r")
  }
  if (is.null(data[["cluster"]])) data$cluster <- if (panel) data[["id"]] else data$.key
  data$cohort[data$cohort > max(data$period) + how$anticipation] <- 0
  last <- Inf
  if (!any(data$cohort == 0)) {
    if (how$control == "nevertreated") {
      stop("There is no never-treated row (cohort 0); use control = \"notyettreated\".")
    }
    last <- max(data$cohort)
    data <- data[data$period < last - how$anticipation, , drop = FALSE]
  }
  early <- data$cohort > 0 & data$cohort <= min(data$period) + how$anticipation
  data <- data[!early, , drop = FALSE]
  data <- data[order(data$period, data$.key), , drop = FALSE]
  rownames(data) <- NULL
  balanced <- panel && length(unique(table(data$.key))) == 1 &&
    nrow(data) == length(unique(data$.key)) * length(unique(data$period))
  attr(data, "panel") <- panel
  attr(data, "balanced") <- balanced
  attr(data, "last") <- last
  data
}

# Ones, then the covariates; columns that are combinations of earlier ones are left out. Numbers are
# taken in standard deviations from their mean, which changes no effect and keeps sums precise.
design_matrix <- function(data, covariates) {
  columns <- lapply(covariates, function(name) {
    values <- data[[name]]
    if (is.numeric(values)) return(cbind((values - mean(values)) / max(sd(values), 1e-300)))
    values <- factor(as.character(values), sort(unique(as.character(values)), method = "radix"))
    outer(as.integer(values), seq_len(nlevels(values))[-1], "==") * 1
  })
  X <- do.call(cbind, c(list(rep(1, nrow(data))), columns))
  X[, independent_columns(X), drop = FALSE]
}

independent_columns <- function(X) {
  decomposed <- qr(X, tol = 1e-5)
  sort(decomposed$pivot[seq_len(decomposed$rank)])
}

# After treatment the base is the last period before it (less anticipation); before treatment it is
# the same under a universal base, and the preceding period under a varying one.
planned_cells <- function(data, base, anticipation) {
  periods <- sort(unique(data$period))
  cohorts <- sort(unique(data$cohort[data$cohort > 0]))
  cohorts <- cohorts[cohorts < attr(data, "last")]
  cells <- lapply(cohorts, function(g) {
    before <- periods[periods + anticipation < g]
    if (length(before) == 0) return(NULL)
    if (base == "universal") return(data.frame(cohort = g, period = periods, base = max(before)))
    later <- periods[-1]
    preceding <- periods[-length(periods)]
    data.frame(cohort = g, period = later, base = ifelse(later >= g, max(before), preceding))
  })
  do.call(rbind, cells)
}

cohort_sizes <- function(data, cohorts, clusters) {
  weight <- data$weight
  if (attr(data, "panel")) {
    # an id counts once: with the weight of its first period if balanced, else with its mean
    if (!attr(data, "balanced")) weight <- ave(weight, data$.key)
    weight[duplicated(data$.key)] <- 0
  }
  size <- vapply(cohorts, function(g) rowsum(weight * (data$cohort == g), clusters)[, 1],
                 numeric(max(clusters)))
  matrix(size, max(clusters))
}

one_effect <- function(data, X, cell, how) {
  compared <- data$cohort == 0
  if (how$control == "notyettreated") {
    untouched <- data$cohort > max(cell$period, cell$base) + how$anticipation
    compared <- compared | (untouched & data$cohort != cell$cohort)
  }
  used <- compared | data$cohort == cell$cohort
  now <- which(used & data$period == cell$period)
  then <- which(used & data$period == cell$base)
  treated <- data$cohort == cell$cohort
  for (rows in list(now, then)) {
    if (!any(treated[rows])) not_estimable("there are no treated cases")
    if (all(treated[rows])) not_estimable("there are no comparison cases")
  }
  if (attr(data, "balanced")) {
    earlier <- if (cell$period < cell$base) now else then
    effect <- effect_of_changes(data$value[now] - data$value[then], treated[now],
                                varying(X, earlier), data$weight[earlier], how)
    return(c(effect, list(rows = now)))
  }
  rows <- c(then, now)
  effect <- effect_of_cases(data$value[rows], treated[rows], data$period[rows] == cell$period,
                            varying(X, rows), data$weight[rows], how)
  c(effect, list(rows = rows))
}

# Some rows of a design without the columns that do not vary on their own among these.
varying <- function(X, rows) {
  X <- X[rows, , drop = FALSE]
  X[, independent_columns(X), drop = FALSE]
}

# ---- one comparison ------------------------------------------------------------------------------
# Each returns the effect on the treated and its scores: what every row contributes to the
# estimation error. The sum of squared scores over independent rows is the squared standard error.

effect_of_changes <- function(change, D, X, w, how) {
  treated <- share(w * D)
  regression <- if (how$method != "ipw") least_squares(change, X, w, !D, needed = D)
  residual <- if (is.null(regression)) change else change - regression$fitted
  mean_treated <- weighted_mean(residual, treated)
  if (how$method == "reg") {
    return(list(att = mean_treated$value,
                scores = mean_treated$scores - regression$moves(colSums(treated * X))))
  }
  propensity <- propensity_of(D, X, w, how)
  reweighted <- share(w * propensity$odds)
  mean_compared <- weighted_mean(residual, reweighted)
  scores <- mean_treated$scores - mean_compared$scores -
    propensity$moves(colSums(mean_compared$scores * X))
  if (how$method == "dr") {
    scores <- scores - regression$moves(colSums((treated - reweighted) * X))
  }
  list(att = mean_treated$value - mean_compared$value, scores = scores)
}

effect_of_cases <- function(y, D, post, X, w, how) {
  switch(how$method,
         reg = cases_by_regression(y, D, post, X, w),
         ipw = cases_by_weighting(y, D, post, X, w, how),
         dr = cases_doubly_robust(y, D, post, X, w, how))
}

cases_by_regression <- function(y, D, post, X, w) {
  after <- least_squares(y, X, w, !D & post, needed = D)
  before <- least_squares(y, X, w, !D & !post, needed = D)
  treated <- share(w * D)
  seen_after <- weighted_mean(y, share(w * (D & post)))
  seen_before <- weighted_mean(y, share(w * (D & !post)))
  expected <- weighted_mean(after$fitted - before$fitted, treated)
  centre <- colSums(treated * X)
  list(att = seen_after$value - seen_before$value - expected$value,
       scores = seen_after$scores - seen_before$scores - expected$scores -
         after$moves(centre) + before$moves(centre))
}

cases_by_weighting <- function(y, D, post, X, w, how) {
  propensity <- propensity_of(D, X, w, how)
  level <- function(rows) {
    treated <- weighted_mean(y, share(w * (D & rows)))
    compared <- weighted_mean(y, share(w * propensity$odds * rows))
    list(value = treated$value - compared$value,
         scores = treated$scores - compared$scores -
           propensity$moves(colSums(compared$scores * X)))
  }
  after <- level(post)
  before <- level(!post)
  list(att = after$value - before$value, scores = after$scores - before$scores)
}

# The locally efficient estimator: regressions of both groups in both periods, averaged over all
# treated cases, less the reweighted residuals of the comparison cases.
cases_doubly_robust <- function(y, D, post, X, w, how) {
  propensity <- propensity_of(D, X, w, how)
  treated <- share(w * D)
  centre <- colSums(treated * X)
  level <- function(rows) {
    other <- least_squares(y, X, w, !D & rows, needed = D)
    own <- least_squares(y, X, w, D & rows, needed = D)
    reweighted <- share(w * propensity$odds * rows)
    rest <- weighted_mean(y - other$fitted, reweighted)
    list(gap = own$fitted - other$fitted, rest = rest$value, other = other,
         reweighted = reweighted,
         scores = own$moves(centre) - other$moves(centre) -
           rest$scores + other$moves(colSums(reweighted * X)) -
           propensity$moves(colSums(rest$scores * X)))
  }
  after <- level(post)
  before <- level(!post)
  gap <- weighted_mean(after$gap - before$gap, treated)
  scores <- gap$scores + after$scores - before$scores
  if (how$scores == "published") {
    # the R package DRDID (drdid_rc, up to 1.3.0) adds here what the derivative subtracts; where
    # the propensity model holds both means are the same in large samples
    own <- share(w * (D & !post))
    scores <- scores - 2 * before$other$moves(colSums((own - before$reweighted) * X))
  }
  list(att = gap$value - (after$rest - before$rest), scores = scores)
}

share <- function(weight) {
  if (!(sum(weight) > 0)) not_estimable("no comparison case is left after trimming")
  weight / sum(weight)
}

weighted_mean <- function(y, share) {
  value <- sum(share * y)
  list(value = value, scores = share * (y - value))
}

# Weighted least squares on `rows`: fitted values for all rows, and `moves`, what each row
# contributes to the error of a combination of the coefficients. Columns that do not vary on their
# own among `rows` get no coefficient; where a prediction that is needed rests on them, it fails.
least_squares <- function(y, X, w, rows, needed) {
  kept <- independent_columns(X[rows, , drop = FALSE])
  spare <- setdiff(seq_len(ncol(X)), kept)
  if (length(spare)) {
    own <- qr(X[rows, kept, drop = FALSE])
    combination <- qr.coef(own, X[rows, spare, drop = FALSE])
    off <- X[needed, kept, drop = FALSE] %*% combination - X[needed, spare]
    if (max(abs(off)) > 1e-6) {
      not_estimable("a regression would have to predict for covariates (such as a level) that ",
                    "none of its own cases has")
    }
  }
  X <- X[, kept, drop = FALSE]
  used <- w * rows
  information <- crossprod(X, used * X)
  fitted <- drop(X %*% solve(information, crossprod(X, used * y)))
  pull <- used * (y - fitted)
  list(fitted = fitted, moves = function(d) pull * drop(X %*% solve(information, d[kept])))
}

# The propensity by logit: `odds` of comparison rows after trimming, zero for treated ones. Where the
# covariates separate comparison rows from all others, their propensity tends to 0; near it they get
# 0 and have no part. A treated row that is separated ends the comparison.
propensity_of <- function(D, X, w, how) {
  w <- w / mean(w)
  p <- fit_logit(D, X, w)
  if (max(p) >= how$overlap) {
    not_estimable("the covariates tell treated from comparison cases apart (a propensity reaches ",
                  how$overlap, ")")
  }
  distance <- ifelse(D, 1 - p, p)
  perfect <- distance < 1e-5 & w * distance < 1e-9
  if (any(perfect & D)) {
    not_estimable("the covariates tell treated from comparison cases apart")
  }
  p[perfect] <- 0
  kept <- independent_columns(sqrt(w * p * (1 - p)) * X)
  X <- X[, kept, drop = FALSE]
  information <- crossprod(X, w * p * (1 - p) * X)
  unit <- 1 / sqrt(diag(information))
  scaled <- information * outer(unit, unit)
  pull <- w * (D - p)
  list(odds = ifelse(D | p >= how$trim, 0, p / (1 - p)),
       moves = function(d) pull * drop(X %*% (unit * solve(scaled, unit * d[kept], tol = 0))))
}

# Fitted values of a weighted logit, by Newton steps (each a weighted least squares fit) that are
# halved while the deviance rises. They end when no row's weighted fitted value changes.
fit_logit <- function(D, X, w) {
  side <- ifelse(D, 1, -1)
  deviance <- function(eta) -2 * sum(w * plogis(side * eta, log.p = TRUE))
  eta <- rep(qlogis(sum(w * D) / sum(w)), length(D))
  for (i in 1:100) {
    p <- plogis(eta)
    root <- sqrt(w * p * (1 - p))
    there <- root > 0
    step <- qr.coef(qr(root[there] * X[there, , drop = FALSE], tol = 1e-12),
                    (w * (D - p))[there] / root[there])
    step[is.na(step)] <- 0
    move <- drop(X %*% step)
    allowed <- deviance(eta) + 1e-12 * (deviance(eta) + 0.1)
    for (halving in 1:30) {
      if (deviance(eta + move) <= allowed) break
      move <- if (halving < 30) move / 2 else 0 * move
    }
    eta <- eta + move
    p <- plogis(eta)
    if (max(w * p * (1 - p) * abs(move)) <= 1e-10) return(p)
  }
  not_estimable("the logit of being treated does not converge")
}

# ---- averages ------------------------------------------------------------------------------------

# Returns a list of `term`, `estimate` and `std_error`. `aggregate` is "group-time" (every effect and
# the overall one), "simple", "event", "cohort" or "calendar".
# Returns a data frame of terms, estimates and standard errors; its attribute "covariance" is the
# covariance of the terms that have a standard error.
average_effects <- function(effects, aggregate = "group-time", min_event = -Inf, max_event = Inf) {
  aggregate <- match.arg(aggregate, c("group-time", "simple", "event", "cohort", "calendar"))
  cells <- effects$cells
  known <- !is.na(cells$att)
  post <- known & cells$period >= cells$cohort
  if (!any(post)) {
    stop("No effect after treatment could be estimated. ", paste0(effects$missing$term, ": ", effects$missing$reason, collapse = "; "))
  }
  terms <- switch(aggregate,
    "group-time" = c(list(by_size(effects, post, "overall")), single_effects(effects)),
    simple = list(by_size(effects, post, "overall")),
    event = event_effects(effects, known, min_event, max_event),
    cohort = cohort_effects(effects, post),
    calendar = {
      parts <- lapply(sort(unique(cells$period[post])), function(t) {
        by_size(effects, post & cells$period == t, paste0("calendar=", t))
      })
      c(list(plain_mean(parts)), parts)
    })
  std_error <- vapply(terms, standard_error, 0)
  names <- vapply(terms, function(x) x$term, "")
  clusters <- nrow(effects$scores)
  scores <- vapply(terms[!is.na(std_error)], function(x) x$scores, numeric(clusters))
  covaried <- names[!is.na(std_error)]
  covariance <- crossprod(matrix(scores, clusters))
  dimnames(covariance) <- list(covaried, covaried)
  structure(
    data.frame(term = names, estimate = vapply(terms, function(x) x$value, 0),
               std_error = std_error),
    covariance = covariance,
    own = list(contributions = of_each(terms, function(x) x$scores + x$levels, clusters),
               shares = of_each(terms, function(x) x$shares, clusters))
  )
}

of_each <- function(terms, part, clusters) matrix(vapply(terms, part, numeric(clusters)), clusters)

# A term whose scores are centred on itself; `size` is the weight of each cluster in it.
centred_term <- function(term, value, scores, size) {
  shares <- size / sum(size)
  list(term = term, value = value, scores = scores, shares = shares, levels = shares * value)
}

size_of <- function(effects, cohort) effects$size[, match(cohort, effects$cohorts)]

single_effects <- function(effects) {
  lapply(seq_len(nrow(effects$cells)), function(j) {
    cell <- effects$cells[j, ]
    centred_term(term_of(cell), cell$att, effects$scores[, j], size_of(effects, cell$cohort))
  })
}

event_effects <- function(effects, known, min_event, max_event) {
  since <- effects$cells$period - effects$cells$cohort
  times <- sort(unique(since[known]))
  times <- times[times >= min_event & times <= max_event]
  if (!any(times >= 0)) stop("No event time from treatment on is left to average.")
  parts <- lapply(times, function(e) by_size(effects, known & since == e, paste0("event=", e)))
  c(list(plain_mean(parts[times >= 0])), parts)
}

# Mean effect of each cohort over its treated periods; overall by the size of cohorts.
cohort_effects <- function(effects, post) {
  cohorts <- effects$cohorts[effects$cohorts %in% effects$cells$cohort[post]]
  parts <- lapply(cohorts, function(g) {
    chosen <- which(post & effects$cells$cohort == g)
    centred_term(paste0("cohort=", g), mean(effects$cells$att[chosen]),
                 rowMeans(effects$scores[, chosen, drop = FALSE]), size_of(effects, g))
  })
  att <- vapply(parts, function(x) x$value, 0)
  scores <- vapply(parts, function(x) x$scores, numeric(nrow(effects$scores)))
  c(list(mean_by_size(att, matrix(scores, nrow(effects$scores)), cohorts, effects, "overall")),
    parts)
}

by_size <- function(effects, chosen, term) {
  chosen <- which(chosen)
  mean_by_size(effects$cells$att[chosen], effects$scores[, chosen, drop = FALSE],
               effects$cells$cohort[chosen], effects, term)
}

# Average weighted by the size of cohorts; the sizes are estimated too, which adds to the scores
# the part of each cohort's size that a cluster makes up, times how far its effects are from the
# average.
mean_by_size <- function(att, scores, cohort, effects, term) {
  own <- effects$size[, match(cohort, effects$cohorts), drop = FALSE]
  total <- sum(own)
  value <- sum(colSums(own) * att) / total
  centred_term(term, value, drop(scores %*% colSums(own) + own %*% (att - value)) / total,
               rowSums(own))
}

plain_mean <- function(parts) {
  mean_of <- function(name) {
    rowMeans(matrix(vapply(parts, function(x) x[[name]], parts[[1]]$scores), ncol = length(parts)))
  }
  list(term = "overall", value = mean(vapply(parts, function(x) x$value, 0)),
       scores = mean_of("scores"), shares = mean_of("shares"), levels = mean_of("levels"))
}

standard_error <- function(term) {
  # rounding beside the effect is no standard error
  rounding <- is.na(term$value) || sum(abs(term$scores)) <= 1e-12 * abs(term$value)
  if (rounding) NA_real_ else sqrt(sum(term$scores^2))
}
