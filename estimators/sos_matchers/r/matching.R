# Matching with R: MatchIt (Ho, Imai, King and Stuart 2011) and base R.
#
# Every function takes a data frame first and returns a named list. Distances are compared in whole
# steps (1 / `steps` of a unit), so that what is equal up to rounding is a tie. MatchIt breaks ties
# by the order of rows: the caller sorts them.

# ---- propensity scores -------------------------------------------------------------------------

# Linear predictor of a logistic regression of y on the columns of x (no intercept column).
# penalty "none" is stats::glm (whose tolerance for aliased columns is epsilon / 1000); "ridge"
# minimises |b|^2 / 2 + C * sum(weight * log loss) by Newton's method, the intercept unpenalised.
linear_predictor <- function(x, y, penalty, C, weight = rep(1, length(y))) {
  if (penalty == "none") {
    fit <- suppressWarnings(stats::glm.fit(
      cbind(1, x), y,
      weights = weight, family = stats::quasibinomial(),
      control = stats::glm.control(epsilon = 1e-10, maxit = 100)
    ))
    return(unname(fit$linear.predictors))
  }
  design <- cbind(1, x)
  ridge <- diag(c(0, rep(1 / C, ncol(x))), ncol(design))
  objective <- function(b) {
    eta <- drop(design %*% b)
    sum(weight * (log1p(exp(-abs(eta))) + pmax(eta, 0) - y * eta)) + sum(diag(ridge) * b^2) / 2
  }
  b <- numeric(ncol(design))
  for (iteration in 1:100) {
    p <- stats::plogis(drop(design %*% b))
    gradient <- drop(crossprod(design, weight * (p - y))) + diag(ridge) * b
    step <- solve(crossprod(design, weight * p * (1 - p) * design) + ridge, gradient)
    size <- 1
    while (objective(b - size * step) > objective(b) + 1e-9 && size > 1e-6) size <- size / 2
    b <- b - size * step
    if (max(abs(step)) < 1e-12) break
  }
  unname(drop(design %*% b))
}

standardise <- function(x) {
  x <- scale(as.matrix(x))
  x[, attr(x, "scaled:scale") == 0] <- 0
  x
}

# ---- authorities -------------------------------------------------------------------------------

# data: treated, then the features; pilots first, both sides in the order of the codes.
match_units_on_score <- function(data, penalty, C, scale, ratio, caliper, std_caliper,
                                 replacement, order_by, forbidden, steps) {
  pilot <- data$treated == 1
  eta <- linear_predictor(standardise(data[-1]), data$treated, penalty, C)
  score <- if (scale == "logit") eta else stats::plogis(eta)
  if (!is.null(caliper) && std_caliper) caliper <- caliper * stats::sd(score)
  distance <- abs(outer(score[pilot], score[!pilot], "-"))
  found <- match_matrix(
    distance, score[pilot], ratio, caliper, replacement, order_by, forbidden, steps
  )
  c(found, list(score = stats::plogis(eta)))
}

match_units_on_outcomes <- function(data, kind, ratio, caliper, replacement, order_by, forbidden,
                                    steps) {
  distance <- outcome_distances(data, kind)
  nearest <- apply(distance, 1, min)
  match_matrix(distance, nearest, ratio, caliper, replacement, order_by, forbidden, steps)
}

# The weighted mean of distances, each over its median. part: of which part each feature is; ready: a
# distance that is there already (pilots x pool), whose weight is the last.
match_units_on_mix <- function(data, kind, part, weights, ready, ratio, caliper, replacement,
                               order_by, forbidden, steps) {
  distances <- lapply(unique(part), function(p) {
    outcome_distances(data[c(1, 1 + which(part == p))], kind)
  })
  if (!is.null(ready)) {
    distances <- c(distances, list(matrix(ready, sum(data$treated == 1))))
  }
  in_typical <- lapply(distances, function(d) {
    typical <- stats::median(d)
    if (typical > 0) d / typical else d
  })
  distance <- Reduce(`+`, Map(`*`, in_typical, weights)) / sum(weights)
  nearest <- apply(distance, 1, min)
  match_matrix(distance, nearest, ratio, caliper, replacement, order_by, forbidden, steps)
}

# Features are scaled by their SD within pilots and pool, the residual SD of a regression on
# `treated`, before MatchIt measures the distance.
outcome_distances <- function(data, kind) {
  for (name in names(data)[-1]) {
    data[[name]] <- data[[name]] / summary(stats::lm(data[[name]] ~ data$treated))$sigma
  }
  measure <- if (kind == "euclidean") MatchIt::euclidean_dist else MatchIt::mahalanobis_dist
  distance <- measure(stats::reformulate(names(data)[-1], "treated"), data = data)
  matrix(distance, sum(data$treated == 1), sum(data$treated == 0))
}

# Nearest neighbours on a matrix of distances (pilots x pool); the pilots stand in the order of their
# turn. forbidden: which pairs may not be, column by column, or NULL.
match_matrix <- function(distance, key, ratio, caliper, replacement, order_by, forbidden, steps) {
  whole <- round(distance * steps)
  if (!is.null(forbidden)) whole[as.logical(forbidden)] <- Inf
  if (!is.null(caliper)) whole[whole > round(caliper * steps)] <- Inf
  turn <- in_turn(key, order_by)
  chosen <- matrix(NA_integer_, nrow(distance), ratio)
  chosen[turn, ] <- nearest_by_matchit(whole[turn, , drop = FALSE], ratio, replacement)
  pairs <- long_pairs(chosen)
  c(pairs, list(distance = distance[cbind(pairs$treated, pairs$control)]))
}

in_turn <- function(key, order_by) {
  switch(order_by,
    largest = order(key, decreasing = TRUE, method = "radix"),
    smallest = order(key, method = "radix"),
    data = seq_along(key)
  )
}

# Columns chosen for every row (rows x ratio) by MatchIt; an infinite distance forbids a pair. Ties go
# to the first column.
#
# One row and one column of infinite distance are added. MatchIt 4.5 cannot take a matrix of a single
# row or column; and reuse.max = (real rows) is then replacement without a bound in the part of
# MatchIt that takes the first of tied columns, where replace = TRUE sorts them in no stated order.
# A matrix also goes round an error of MatchIt 4.5.1, which with ratio > 1 and a vector of scores
# skips the row after a control already taken.
nearest_by_matchit <- function(distance, ratio, replacement) {
  n1 <- nrow(distance)
  padded <- rbind(cbind(distance, Inf), Inf)
  people <- data.frame(treated = rep(1:0, dim(padded)))
  fit <- quietly(MatchIt::matchit(
    treated ~ 1,
    data = people, method = "nearest", distance = padded, ratio = ratio, m.order = "data",
    reuse.max = if (replacement) n1 else 1
  ))
  wide <- matrix(NA_integer_, n1, ratio)
  if (is.null(fit)) return(wide)
  found <- matrix(as.integer(fit$match.matrix), n1 + 1)[seq_len(n1), , drop = FALSE]
  wide[, seq_len(ncol(found))] <- found - nrow(padded)
  wide
}

# MatchIt's result, or NULL when nobody could be matched. Its warnings say that there are few
# controls, which the caller counts itself.
quietly <- function(fit) {
  tryCatch(suppressWarnings(fit), error = function(e) {
    if (grepl("were (matched|found)", conditionMessage(e))) NULL else stop(e)
  })
}

# A matrix of controls (rows: treated) as treated, control, rank, sorted by treated and rank.
long_pairs <- function(chosen) {
  treated <- as.vector(row(chosen))
  control <- as.vector(chosen)
  turn <- order(treated, as.vector(col(chosen)), method = "radix")
  turn <- turn[!is.na(control[turn])]
  rank <- stats::ave(turn, treated[turn], FUN = seq_along)
  list(treated = treated[turn], control = control[turn], rank = as.integer(rank))
}

# ---- cases -------------------------------------------------------------------------------------

# data: treated, weight, stratum, then covariates (numbers or factors); pilots' cases first, both
# sides in the order in which ties are to be broken.
match_cases <- function(data, penalty, C, models, scale, ratio, caliper, std_caliper, replacement,
                        order_by, steps) {
  eta <- case_scores(data, penalty, C, models)
  score <- if (scale == "logit") eta else stats::plogis(eta)
  if (!is.null(caliper)) {
    centred <- score - stats::ave(score, data$stratum)
    unit <- sqrt(sum(centred^2) / max(length(score) - nlevels(data$stratum), 1))
    caliper <- round((if (std_caliper) caliper * unit else caliper) * steps)
  }
  found <- within_strata(data, round(score * steps), ratio, caliper, replacement, order_by)
  c(found, list(logit = eta))
}

within_strata <- function(data, score, ratio, caliper, replacement, order_by) {
  chosen <- matrix(NA_integer_, nrow(data), ratio)
  for (rows in split(seq_len(nrow(data)), data$stratum)) {
    treated <- rows[data$treated[rows] == 1]
    control <- rows[data$treated[rows] == 0]
    treated <- treated[in_turn(score[treated], order_by)]
    distance <- abs(outer(score[treated], score[control], "-"))
    if (!is.null(caliper)) distance[distance > caliper] <- Inf
    found <- nearest_by_matchit(distance, ratio, replacement)
    chosen[treated, ] <- control[found]
  }
  long_pairs(chosen)
}

# Odds of the score of controls, relative to the mean of their stratum; 1 for the treated.
relative_odds <- function(data, penalty, C, models, trim) {
  eta <- case_scores(data, penalty, C, models)
  odds <- exp(eta)
  control <- data$treated == 0
  parts <- split(seq_along(odds)[control], data$stratum[control])
  relative <- rep(1, length(odds))
  for (rows in parts) relative[rows] <- odds[rows] / stats::weighted.mean(odds[rows], data$weight[rows])
  if (trim < 1) {
    relative[control] <- pmin(relative[control], stats::quantile(relative[control], trim))
  }
  list(relative = relative, logit = eta)
}

# Scores of cases, those out of bounds left out and the others scored again. trim: "none", a bound, or
# "crump" for the bound of Crump, Hotz, Imbens and Mitnik (2009).
overlap_scores <- function(data, penalty, C, models, trim) {
  eta <- case_scores(data, penalty, C, models)
  e <- stats::plogis(eta)
  bound <- if (trim == "none") 0 else if (trim == "crump") crump_bound(e) else trim
  kept <- pmin(e, 1 - e) >= bound - 1e-12
  if (!all(kept)) {
    both <- tapply(data$treated[kept], data$stratum[kept], function(t) length(unique(t)) == 2)
    staying <- kept & data$stratum %in% names(which(both))
    eta[!staying] <- NA
    if (any(staying)) {
      eta[staying] <- case_scores(droplevels(data[staying, ]), penalty, C, models)
    }
  }
  list(bound = bound, kept = kept, logit = eta)
}

# Cases stay while 1 / (e (1 - e)) is at most twice its mean among those that stay.
crump_bound <- function(e) {
  cost <- sort(1 / (e * (1 - e)))
  last <- max(which(cost <= 2 * cumsum(cost) / seq_along(cost)))
  if (last == length(cost)) 0 else 0.5 - sqrt(0.25 - 1 / cost[last])
}

# Linear predictors: one model with an intercept for every stratum, or one in each stratum.
case_scores <- function(data, penalty, C, models) {
  x <- data[-(1:3)]
  number <- vapply(x, is.numeric, NA)
  if (any(number)) x[number] <- as.data.frame(standardise(x[number]))
  pooled <- models == "pooled"
  if (pooled && nlevels(data$stratum) > 1) x$stratum <- data$stratum
  design <- stats::model.matrix(~., x)[, -1, drop = FALSE]
  if (pooled) return(linear_predictor(design, data$treated, penalty, C, data$weight))
  eta <- numeric(nrow(data))
  for (rows in split(seq_len(nrow(data)), data$stratum)) {
    eta[rows] <- linear_predictor(
      design[rows, , drop = FALSE], data$treated[rows], penalty, C, data$weight[rows]
    )
  }
  eta
}

# ---- entropy balancing -------------------------------------------------------------------------

# Factors on the weights of controls, relative to the mean of their stratum, under which moments equal
# those of the treated (Hainmueller 2012); the dual is minimised by stats::nlminb (PORT).
entropy_weights <- function(data, highest, interactions, balance) {
  z <- balanced_moments(data[-(1:3)], highest, interactions)
  relative <- rep(1, nrow(data))
  largest <- 0
  together <- if (balance == "pooled") rep(1, nrow(data)) else data$stratum
  for (rows in split(seq_len(nrow(data)), together)) {
    own <- rows[data$treated[rows] == 1]
    other <- rows[data$treated[rows] == 0]
    sought <- apply(z[own, , drop = FALSE], 2, stats::weighted.mean, data$weight[own])
    gaps <- sweep(z[other, , drop = FALSE], 2, sought)
    stratum <- factor(data$stratum[other])
    total <- tapply(data$weight[own], data$stratum[own], sum)[levels(stratum)]
    found <- tilted(gaps, data$weight[other], stratum, total / sum(total))
    given <- tapply(data$weight[other], stratum, sum)
    relative[other] <- found$weight / data$weight[other] *
      as.vector((given * sum(total) / total)[as.character(stratum)])
    largest <- max(largest, found$largest)
  }
  list(relative = relative, largest = largest)
}

# Powers of numbers, dummies of factors and perhaps products of any two, all standardised.
balanced_moments <- function(x, highest, interactions) {
  first <- lapply(x, function(column) {
    standardise(if (is.factor(column)) stats::model.matrix(~column)[, -1, drop = FALSE] else column)
  })
  raised <- Map(function(z, column) {
    if (is.factor(column) || length(unique(column)) == 2) return(z)
    do.call(cbind, lapply(seq_len(highest), function(power) z^power))
  }, first, x)
  if (interactions && length(first) > 1) {
    raised <- c(raised, utils::combn(length(first), 2, function(pair) {
      a <- first[[pair[1]]]
      b <- first[[pair[2]]]
      each <- expand.grid(i = seq_len(ncol(a)), j = seq_len(ncol(b)))
      a[, each$i, drop = FALSE] * b[, each$j, drop = FALSE]
    }, simplify = FALSE))
  }
  z <- standardise(do.call(cbind, unname(raised)))
  z[, !duplicated(round(abs(t(z)), 9)) & colSums(z != 0) > 0, drop = FALSE]
}

# Weights that add up to 1, strata to their shares, with weighted means of the gaps of zero. Rows that
# cannot have weight, because the mean sought is the end of what a moment has, get none.
tilted <- function(gaps, base, stratum, share) {
  weight <- numeric(nrow(gaps))
  kept <- rep(TRUE, nrow(gaps))
  repeat {
    ends <- apply(gaps[kept, , drop = FALSE], 2, range)
    face <- which((abs(ends[1, ]) <= 1e-10) != (abs(ends[2, ]) <= 1e-10))
    if (length(face) == 0) break
    kept <- kept & abs(gaps[, face[1]]) <= 1e-10
    if (any(table(stratum[kept]) == 0)) return(list(weight = weight, largest = Inf))
  }
  z <- gaps[kept, , drop = FALSE]
  q <- base[kept]
  s <- stratum[kept]
  normal <- function(l) {
    score <- drop(z %*% l)
    top <- tapply(score, s, max)
    w <- q * exp(score - top[as.character(s)])
    total <- tapply(w, s, sum)
    list(value = sum(share * (top + log(total))), w = as.vector(w * (share / total)[as.character(s)]))
  }
  gradient <- function(l) drop(crossprod(z, normal(l)$w))
  hessian <- function(l) {
    w <- normal(l)$w
    means <- rowsum(z * w, s) / sqrt(as.vector(share))
    crossprod(z, w * z) - crossprod(means)
  }
  fit <- suppressWarnings(stats::nlminb(
    numeric(ncol(z)), function(l) normal(l)$value, gradient, hessian,
    control = list(iter.max = 500, eval.max = 1000, rel.tol = 1e-15, x.tol = 1e-14)
  ))
  # PORT stops at differences of the value; one step further the slopes are zero up to rounding.
  step <- tryCatch(solve(hessian(fit$par), gradient(fit$par)), error = function(e) 0)
  l <- fit$par - step
  if (max(abs(gradient(l))) > max(abs(gradient(fit$par)))) l <- fit$par
  weight[kept] <- normal(l)$w
  list(weight = weight, largest = max(abs(gradient(l))))
}

# ---- exact matching on coarsened covariates ------------------------------------------------------

# data: treated, weight, occasion (one number for the same authority, child and date), stratum, then
# covariates (numbers, perhaps with gaps, or factors); in the order in which ties are to be broken.
# cutpoints: a rule, a number of bins or cut points by covariate; grouping: lists of levels likewise;
# k2k: "none", "random" or "mahalanobis".
match_exactly <- function(data, cutpoints, grouping, composite, k2k, steps) {
  subclass <- exact_strata(data, cutpoints, grouping)
  kept <- !is.na(subclass)
  pairs <- list(pilot = integer(), other = integer())
  if (k2k != "none") {
    pairs <- pairs_within(data, subclass, k2k, steps)
    kept <- seq_along(kept) %in% unlist(pairs)
  }
  c(list(weight = exact_weights(data, subclass, kept, composite)), pairs)
}

# Strata by MatchIt; missing for rows whose stratum has one side alone.
exact_strata <- function(data, cutpoints, grouping) {
  x <- data[-(1:4)]
  for (name in names(x)) {
    if (anyNA(x[[name]])) {
      x[[name]] <- binned_with_gaps(x[[name]], cutpoints[[name]])
      cutpoints[[name]] <- NULL
    }
  }
  if (nlevels(data$stratum) > 1) x$stratum <- data$stratum
  # One cut point alone would be a number of bins: it is given twice. A rule or number stays.
  cutpoints <- lapply(cutpoints, function(cut) if (is.list(cut)) rep(unlist(cut), 2) else cut)
  fit <- quietly(MatchIt::matchit(
    stats::reformulate(names(x), "treated"),
    data = cbind(treated = data$treated, x), method = "cem",
    cutpoints = if (length(cutpoints)) cutpoints else "sturges", grouping = grouping
  ))
  if (is.null(fit)) return(rep(NA_integer_, nrow(data)))
  as.integer(fit$subclass)
}

# MatchIt takes no gaps: they are a level beside the bins of the numbers that are there.
binned_with_gaps <- function(x, cut) {
  known <- x[!is.na(x)]
  if (is.character(cut)) {
    cut <- switch(cut,
      sturges = grDevices::nclass.Sturges(known),
      scott = grDevices::nclass.scott(known),
      fd = grDevices::nclass.FD(known)
    )
  }
  breaks <- sort(unique(unlist(cut)))
  if (!is.list(cut)) {
    breaks <- seq(min(known), max(known), length.out = cut + 1)
    breaks <- breaks[-c(1, length(breaks))]
  }
  bin <- as.character(findInterval(x, c(-Inf, breaks, Inf)))
  factor(ifelse(is.na(x), "Missing", bin))
}

# (T_s / C_s) (C / T) times what a row starts with; pilots' rows keep it.
exact_weights <- function(data, subclass, kept, composite) {
  start <- ifelse(kept, data$weight, 0)
  if (composite) {
    times <- stats::ave(as.numeric(kept), data$occasion, FUN = sum)
    start <- ifelse(kept, data$weight / pmax(times, 1), 0)
  }
  stratum <- factor(subclass)
  treated <- data$treated == 1
  pilots <- tapply(ifelse(treated, start, 0), stratum, sum)
  others <- tapply(ifelse(treated, 0, start), stratum, sum)
  factor <- (pilots / others)[stratum] * sum(start[!treated]) / sum(start[treated])
  ifelse(kept, ifelse(treated, start, start * factor), 0)
}

# Pairs in every stratum: MatchIt's nearest neighbours on a matrix of distances, all equal at random.
pairs_within <- function(data, subclass, k2k, steps) {
  found <- list(pilot = integer(), other = integer())
  x <- data[-(1:4)]
  for (name in names(x)) {
    if (is.numeric(x[[name]])) x[[name]][is.na(x[[name]])] <- mean(x[[name]], na.rm = TRUE)
  }
  if (nlevels(data$stratum) > 1) x$stratum <- data$stratum
  treated <- data$treated == 1
  distance <- matrix(0, sum(treated), sum(!treated))
  if (k2k == "mahalanobis") {
    formula <- stats::reformulate(names(x), "treated")
    distance <- MatchIt::mahalanobis_dist(formula, data = cbind(treated = data$treated, x))
  }
  place <- stats::ave(seq_along(treated), treated, FUN = seq_along)
  for (rows in split(seq_along(subclass), subclass)) {
    mine <- rows[treated[rows]]
    theirs <- rows[!treated[rows]]
    apart <- unname(distance[place[mine], place[theirs], drop = FALSE])
    chosen <- nearest_by_matchit(round(apart * steps), 1, FALSE)[, 1]
    found$pilot <- c(found$pilot, mine[!is.na(chosen)])
    found$other <- c(found$other, theirs[chosen[!is.na(chosen)]])
  }
  found
}
