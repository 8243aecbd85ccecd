# Several methods of inference on the effect of the classic design, side by side.
#
#   source("inference.R", chdir = TRUE)
#   did_inference(cases, form = "twfe", methods = c("CR2", "WCR", "RI-t"))
#
# The columns of `cases` are described in common.R; randomisation without matched groups also needs
#   cohort    the first treated period of the unit, 0 for never
#
# Everything is a regression on cells (rows of cases that are alike): the treatment and the value are
# regressed on all the rest, and what is left, d and y, gives the coefficient d'y / d'd. Replications
# of the bootstrap and other assignments of the treatment are regressed likewise, one by one.

source("common.R", local = TRUE)

SAME_T <- 1e-9      # relative: t statistics that differ by less are equal
UNTOLD <- 1e-10     # an assignment that keeps less of its variation than this has no estimate
WEBB_BELOW <- 13    # six points instead of signs for fewer clusters than this
HALVINGS <- 60      # of an interval in which an end of a confidence set is searched
WIDEST <- 2^12      # standard errors from the estimate at which the search stops
BLOCK <- 500        # replications at once

# methods     CR0, CR1, CR1S, fixest, CR2, CR2-cases, CR3, CR3J: see common.R
#             WCR, WCU: wild cluster bootstrap of the CR1 t statistic, under the hypothesis or about
#               the estimate (Cameron, Gelbach and Miller 2008)
#             RI-beta, RI-t: randomisation inference (MacKinnon and Webb 2020)
# draws       replications and assignments, unless fewer are all there are
# weights     "auto", "rademacher" or "webb"
#
# Returns a row a method, how many draws or assignments it used and whether these were all; and for
# each cluster the estimate without it and its partial leverage.
did_inference <- function(data, form = "twfe", methods = c("CR1", "CR2", "CR3", "WCR", "RI-t"),
                          covariates = NULL, conf_level = 0.95, draws = 9999, weights = "auto",
                          seed = 1) {
  check_input(data, union(needed_columns(form), c("treated", "post")), covariates)
  set.seed(seed)
  data$D <- data$treated * data$post
  further <- intersect(c("D", "treated", "post", "cohort", "group", "unit", "period"), names(data))
  cells <- collapse_for(data, form, covariates, further)
  fitted <- fit_cells(cells, form, covariates, "D")
  if (fitted$aliased) stop("the effect cannot be told from effects and covariates", call. = FALSE)
  left <- leave_out_the_rest(fitted)
  rows <- lapply(methods, function(method) {
    level <- 1 - conf_level
    switch(method,
      "WCR" = , "WCU" = wild(left, sign_draws(left$G, draws, weights), method == "WCR", level),
      "RI-beta" = , "RI-t" = tryCatch(
        randomised(left, cells, form, draws, method == "RI-t"),
        error = function(e) {
          warning("there is no ", method, ": ", conditionMessage(e), call. = FALSE)
          row_of()
        }
      ),
      analytical(data, fitted, method, form, covariates, level)
    )
  })
  table <- do.call(rbind, lapply(rows, as.data.frame))
  list(
    method = methods, estimate = rep(left$estimate, length(methods)),
    std_error = table$std_error, statistic = table$statistic, df = table$df,
    p_value = table$p_value, conf_low = table$conf_low, conf_high = table$conf_high,
    draws = table$draws, complete = table$complete,
    cluster = left$names, estimate_without = drop(without_each(fitted, form, covariates)),
    partial_leverage = left$share, effective_clusters = 1 / sum(left$share^2)
  )
}

row_of <- function(std_error = NA_real_, statistic = NA_real_, df = NA_real_, p_value = NA_real_,
                   conf_low = NA_real_, conf_high = NA_real_, draws = NA_real_, complete = NA) {
  as.list(environment())
}

# What effects, structure and covariates leave of the treatment and of the value, rows multiplied by
# the root of their weight.
leave_out_the_rest <- function(fitted) {
  cells <- fitted$cells
  root <- sqrt(cells$weight)
  others <- model.matrix(fitted$fit)[, -match(fitted$names, names(coef(fitted$fit))), drop = FALSE]
  others <- qr(others * root)
  cluster <- factor(as.character(cells$cluster))
  d <- qr.resid(others, cells$D * root)
  y <- qr.resid(others, cells$value * root)
  variation <- sum(d^2)
  list(
    d = d, y = y, root = root, others = others, cluster = cluster, names = levels(cluster),
    G = nlevels(cluster), variation = variation, estimate = sum(d * y) / variation,
    share = drop(rowsum(d^2, cluster)) / variation
  )
}

# Coefficients and CR1 standard errors of one treatment d a column, on one value y a column.
coefficients_of <- function(left, d, y) {
  variation <- colSums(d^2)
  b <- colSums(d * y) / variation
  scores <- rowsum(d * (y - sweep(d, 2, b, "*")), left$cluster)
  list(b = b, scores = sweep(scores, 2, variation, "/"))
}

std_error_of <- function(scores) {
  G <- nrow(scores)
  sqrt(G / (G - 1) * colSums(scores^2))
}

analytical <- function(data, fitted, method, form, covariates, level) {
  if (method == "CR2-cases") {
    cases <- rows_for(data, form, covariates, "D", method)
    fitted <- fit_cells(cases, form, covariates, "D")
  }
  variance <- combined_vcov(fitted, method, diag(1), form, covariates)
  se <- sqrt(drop(variance$V))
  df <- variance$df
  t <- fitted$estimate / se
  half <- qt(1 - level / 2, df) * se
  row_of(se, t, df, 2 * pt(-abs(t), df), fitted$estimate - half, fitted$estimate + half)
}

# ---------------------------------------------------------------- wild cluster bootstrap

# Draws of the auxiliary variable, one a column: all sign vectors that differ by more than the sign
# of the whole if 2^G is not above `draws`; else Webb's (2023) six points for few clusters; else signs.
sign_draws <- function(G, draws, weights) {
  if (weights != "webb" && 2^G <= draws) {
    numbers <- seq_len(2^(G - 1)) - 1
    v <- vapply(numbers, function(i) 1 - 2 * (floor(i / 2^(seq_len(G) - 1)) %% 2), numeric(G))
    return(list(v = matrix(v, G), complete = TRUE))
  }
  points <- if (weights == "webb" || (weights == "auto" && G < WEBB_BELOW)) {
    c(-1, 1) %o% sqrt(c(0.5, 1, 1.5))
  } else {
    c(-1, 1)
  }
  list(v = matrix(sample(points, G * draws, replace = TRUE), G), complete = FALSE)
}

# A replication multiplies the residuals of each cluster by its draw. Under the hypothesis b = r the
# residuals are y - r d, so that replications for any r are those of y less r times those of d.
wild <- function(left, drawn, restricted, level) {
  of_y <- replicate_residuals(left, if (restricted) left$y else left$y - left$estimate * left$d,
                              drawn$v)
  of_d <- if (restricted) replicate_residuals(left, left$d, drawn$v)
  statistics <- function(r) {
    if (!restricted) return(of_y$b / std_error_of(of_y$scores))
    b <- of_y$b - r * of_d$b
    scores <- of_y$scores - r * of_d$scores
    t <- b / std_error_of(scores)
    flat <- colSums(scores^2) <= 1e-13 * (colSums(of_y$scores^2) + r^2 * colSums(of_d$scores^2))
    ifelse(flat, ifelse(b == 0, 0, Inf), t)
  }
  se <- std_error_of(coefficients_of(left, cbind(left$d), cbind(left$y))$scores)
  p_value <- function(r) {
    share_as_large(abs(statistics(r)), abs(left$estimate - r) / se, drawn$complete)
  }
  ends <- vapply(c(-1, 1), function(side) {
    search_end(p_value, left$estimate, side * se, level)
  }, 1)
  row_of(se, left$estimate / se, p_value = p_value(0), conf_low = ends[1], conf_high = ends[2],
         draws = ncol(drawn$v), complete = drawn$complete)
}

replicate_residuals <- function(left, residuals, v) {
  blocks <- split(seq_len(ncol(v)), (seq_len(ncol(v)) - 1) %/% BLOCK)
  parts <- lapply(blocks, function(columns) {
    drawn <- qr.resid(left$others, residuals * v[as.integer(left$cluster), columns, drop = FALSE])
    coefficients_of(left, matrix(left$d, length(left$d), length(columns)), drawn)
  })
  list(b = unlist(lapply(parts, `[[`, "b"), use.names = FALSE),
       scores = do.call(cbind, lapply(parts, `[[`, "scores")))
}

# The sample counts among its replications when these are not all there are.
share_as_large <- function(others, value, complete) {
  n <- sum(others >= value * (1 - SAME_T))
  if (complete) n / length(others) else (n + 1) / (length(others) + 1)
}

# The end of the values that the test keeps, from the estimate outwards.
search_end <- function(p_value, middle, step, level) {
  inside <- middle
  factor <- 1
  repeat {
    outside <- middle + factor * step
    if (p_value(outside) <= level) break
    inside <- outside
    factor <- factor * 2
    if (factor > WIDEST) return(sign(step) * Inf)
  }
  for (i in seq_len(HALVINGS)) {
    between <- (inside + outside) / 2
    if (p_value(between) > level) inside <- between else outside <- between
  }
  (inside + outside) / 2
}

# ---------------------------------------------------------------- randomisation

randomised <- function(left, cells, form, draws, studentised) {
  if (form == "pilot-post") {
    stop("form = 'pilot-post' has a term for pilots that a new assignment would change too")
  }
  dealt <- if ("group" %in% names(cells)) deal_groups(cells, draws) else deal_dates(cells, draws)
  one <- coefficients_of(left, cbind(left$d), cbind(left$y))
  se <- std_error_of(one$scores)
  blocks <- split(seq_len(dealt$n), (seq_len(dealt$n) - 1) %/% BLOCK)
  others <- unlist(lapply(blocks, function(chosen) {
    D <- vapply(chosen, dealt$treatment, numeric(nrow(cells)))
    d <- qr.resid(left$others, matrix(D, nrow(cells)) * left$root)
    told <- colSums(d^2) > UNTOLD * colSums(matrix(D, nrow(cells))^2 * cells$weight)
    refitted <- coefficients_of(left, d, matrix(left$y, nrow(d), ncol(d)))
    (if (studentised) refitted$b / std_error_of(refitted$scores) else refitted$b)[told]
  }), use.names = FALSE)
  statistic <- if (studentised) one$b / se else one$b
  p <- share_as_large(abs(others), abs(statistic), dealt$complete)
  row_of(if (studentised) se else NA_real_, statistic, p_value = p, draws = length(others),
         complete = dealt$complete)
}

# The times of adoption dealt out anew to all units, as many to each as there were.
deal_dates <- function(cells, draws) {
  unit <- as.character(cells$unit)
  period <- as.numeric(as.character(cells$period))
  cohort <- tapply(cells$cohort, unit, max)
  if (any(tapply(cells$cohort, unit, min) != cohort) ||
      any(cells$D != (cells$cohort > 0 & period >= cells$cohort))) {
    stop("treatment does not start with the period 'cohort' of every unit, so when others would ",
         "have been treated is not known without matched groups")
  }
  units <- names(cohort)
  sizes <- table(cohort[cohort > 0])
  dates <- as.numeric(names(sizes))
  log_ways <- lfactorial(length(units)) - lfactorial(length(units) - sum(sizes)) -
    sum(lfactorial(sizes))
  complete <- round(exp(log_ways)) <= draws
  ways <- if (complete) {
    every_deal(units, sizes, dates)
  } else {
    lapply(seq_len(draws), function(i) {
      setNames(rep(dates, sizes), sample(units, sum(sizes)))
    })
  }
  list(n = length(ways), complete = complete, treatment = function(i) {
    given <- ways[[i]][unit]
    as.numeric(!is.na(given) & period >= given)
  })
}

# Every way to give the dates to units: a list of dates named by unit.
every_deal <- function(units, sizes, dates) {
  if (length(dates) == 0) return(list(numeric()))
  unlist(lapply(combn(length(units), sizes[1], simplify = FALSE), function(chosen) {
    first <- setNames(rep(dates[1], sizes[1]), units[chosen])
    lapply(every_deal(units[-chosen], sizes[-1], dates[-1]), function(rest) c(first, rest))
  }), recursive = FALSE)
}

# The pilot of each matched group chosen anew among its members, who share its window.
deal_groups <- function(cells, draws) {
  unit <- as.character(cells$unit)
  group <- as.character(cells$group)
  groups <- sort(unique(group))
  members <- lapply(groups, function(g) sort(unique(unit[group == g])))
  complete <- prod(lengths(members)) <= draws
  ways <- if (complete) {
    as.matrix(expand.grid(members, stringsAsFactors = FALSE))
  } else {
    vapply(members, function(m) sample(m, draws, replace = TRUE), character(draws))
  }
  ways <- matrix(ways, ncol = length(groups), dimnames = list(NULL, groups))
  list(n = nrow(ways), complete = complete, treatment = function(i) {
    as.numeric(unit == ways[i, group] & cells$post == 1)
  })
}
