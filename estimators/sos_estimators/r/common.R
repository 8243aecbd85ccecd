# Difference-in-differences on cases: what did.R and event_study.R share.
#
# Needs base R and the package sandwich. One row of the data is one case, with the columns
#   value     the outcome
#   weight    above 0
#   unit      authority
#   period    a whole number or a factor
#   cluster   what standard errors are clustered by
#   treated   1 for cases of pilots, else 0
#   post      1 after adoption, else 0
#   group     matched group (only for form = "stacked")
# and covariates: numbers enter linearly, factors as dummies without the first level.

source("input.R", local = TRUE)

# The columns that a form needs of the cases.
needed_columns <- function(form) {
  unique(c("value", "weight", "cluster", unlist(effect_columns(form)), structure_columns(form)))
}

# The columns that make up the fixed effects of a form.
effect_columns <- function(form) {
  switch(form,
    "twfe" = list("unit", "period"),
    "stacked" = list(c("unit", "group"), c("period", "group")),
    "pilot-post" = list("period"),
    stop("unknown form '", form, "': twfe, stacked or pilot-post")
  )
}

# The columns that a form has besides effects, covariates and the treatment.
structure_columns <- function(form) if (form == "pilot-post") c("treated", "post") else character()

# One row of all cases that are alike in the columns `by`. Coefficients and cluster-robust variances
# of the cells, weighted by their summed weights, are those of the cases.
collapse_cases <- function(data, by) {
  numbered <- lapply(data[by], function(x) match(x, unique(x)))
  key <- do.call(paste, unname(numbered))
  key <- match(key, unique(key))
  cells <- data[!duplicated(key), by, drop = FALSE]
  sums <- rowsum(cbind(1, data$weight, data$weight * data$value), key)
  cells$n_cases <- sums[, 1]
  cells$weight <- sums[, 2]
  cells$value <- sums[, 3] / sums[, 2]
  row.names(cells) <- NULL
  cells
}

collapse_for <- function(data, form, covariates, by) {
  collapse_cases(data, unique(c(
    unlist(effect_columns(form)), "cluster", structure_columns(form), covariates, by
  )))
}

# Covariates as numbers: factors as dummies without their first level, none of a factor with one.
covariate_matrix <- function(data, covariates) {
  covariates <- with_levels(data, covariates)
  if (!length(covariates)) return(matrix(0, nrow(data), 0))
  right <- Reduce(function(a, b) call("+", a, b), lapply(covariates, as.name))
  data[covariates] <- lapply(data[covariates], function(x) if (is.factor(x)) droplevels(x) else x)
  stats::model.matrix(stats::as.formula(call("~", right)), data)[, -1, drop = FALSE]
}

# The columns without factors of one level, for which R has no contrasts and no column is needed.
with_levels <- function(data, columns) {
  several <- vapply(columns, function(name) {
    !is.factor(data[[name]]) || length(unique(data[[name]])) > 1
  }, logical(1))
  columns[several]
}

# Regress value on effects, structure, covariates and terms, in this order, so that of collinear
# columns the later one is left out.
#
# cells       from collapse_for()
# terms       names of columns of cells: what is estimated
# model       "linear" or "logit"
#
# Returns the fit and its cells; of the terms names, estimates and places of the collinear ones (lost);
# and for each column of structure and covariates whether it was kept.
fit_cells <- function(cells, form, covariates, terms, model = "linear") {
  effects <- lapply(effect_columns(form), function(columns) {
    interaction(lapply(cells[columns], factor), drop = TRUE)
  })
  names(effects) <- paste0("effect_", seq_along(effects))
  cells[names(effects)] <- effects
  used <- with_levels(cells, names(effects))
  covariates <- with_levels(cells, covariates)
  right <- lapply(c(used, structure_columns(form), covariates, terms), as.name)
  formula <- as.formula(call("~", quote(value), Reduce(function(a, b) call("+", a, b), right)))
  if (model == "logit") {
    fit <- logit_cells(formula, cells)
  } else {
    fit <- lm(formula, data = cells, weights = weight)
  }
  coefficients <- coef(fit)
  assign <- attr(model.matrix(fit), "assign")
  is_term <- seq_along(coefficients) > length(coefficients) - length(terms)
  list(
    fit = fit,
    cells = cells,
    effects = effects,
    names = names(coefficients)[is_term],
    terms = terms,
    estimate = unname(coefficients[is_term]),
    aliased = anyNA(coefficients[is_term]),
    lost = which(is.na(coefficients[is_term])),
    kept = unname(!is.na(coefficients[assign > length(used) & !is_term])),
    n_outside = sum(!is.na(coefficients[assign > length(used)]))
  )
}

# glm takes its tolerance for collinear columns from epsilon: 1e-4 gives that of lm, 1e-7. Its
# convergence is then a matter of starting again from the result until that stays, which also makes
# the working weights those of the result. quasibinomial has the coefficients of binomial, without
# the complaint about weights.
logit_cells <- function(formula, cells) {
  cells$start <- qlogis((cells$weight * cells$value + 0.5) / (cells$weight + 1))
  for (round in 1:25) {
    fit <- glm(formula, family = quasibinomial(), data = cells, weights = weight, etastart = start,
               control = glm.control(epsilon = 1e-4))
    change <- max(abs(fit$linear.predictors - cells$start))
    cells$start <- fit$linear.predictors
    if (change < 1e-10 || max(abs(cells$start)) > 25) break
  }
  if (change >= 1e-10) {
    stop("the logit did not converge: something predicts the value perfectly", call. = FALSE)
  }
  fit
}

# The factor by which a convention widens the plain cluster-robust variance (CR0).
#   CR1     G / (G - 1); clubSandwich "CR1", sandwich::vcovCL(type = "HC0")
#   CR1S    G / (G - 1) * (n - 1) / (n - k), all parameters; sandwich::vcovCL(type = "HC1")
#   fixest  the same, with effects nested in the clusters counted as one intercept
small_sample <- function(fitted, vcov) {
  G <- length(unique(fitted$cells$cluster))
  n <- sum(fitted$cells$n_cases)
  if (vcov == "CR0") return(1)
  if (vcov == "CR1") return(G / (G - 1))
  k <- if (vcov == "CR1S") {
    fitted$fit$rank
  } else if (vcov == "fixest") {
    nested <- vapply(fitted$effects, function(effect) {
      all(rowSums(table(effect, factor(fitted$cells$cluster)) > 0) == 1)
    }, logical(1))
    fitted$n_outside + sum(vapply(fitted$effects[!nested], nlevels, 1L) - 1) + 1
  } else {
    stop("unknown vcov '", vcov, "': CR0, CR1, CR1S or fixest")
  }
  if (n > k) G / (G - 1) * (n - 1) / (n - k) else NaN
}

# Cluster-robust covariance of all coefficients that are not collinear.
cluster_vcov <- function(fitted, vcov) {
  plain <- sandwich::vcovCL(fitted$fit, cluster = fitted$cells$cluster, type = "HC0",
                            cadjust = FALSE)
  plain * small_sample(fitted, vcov)
}

# Covariance and degrees of freedom of combinations of the terms: CR0, CR1, CR1S, fixest as above, or
#   CR2     bias-reduced, with Satterthwaite degrees of freedom; errors of variance 1 / weight are the
#           working model, so cells are enough: see adjusted_scores()
#   CR2-cases   the same by clubSandwich with its working model for a weighted lm, one variance a
#           case, and therefore fitted on cases
#   CR3     (G - 1) / G times the squares of the coefficients without each cluster, about those of
#           the full sample
#   CR3J    the same about their mean
# combine   one row a term, one column a combination
combined_vcov <- function(fitted, vcov, combine, form, covariates) {
  df <- rep(length(unique(fitted$cells$cluster)) - 1, ncol(combine))
  if (vcov == "CR2") return(bias_reduced(fitted, combine))
  if (vcov == "CR2-cases") return(bias_reduced_by_case(fitted, combine))
  if (vcov %in% c("CR3", "CR3J")) {
    without <- without_each(fitted, form, covariates) %*% combine
    full <- drop(fitted$estimate %*% combine)
    centre <- if (vcov == "CR3") full else colMeans(without)
    G <- nrow(without)
    return(list(V = (G - 1) / G * crossprod(sweep(without, 2, centre)), df = df))
  }
  V <- cluster_vcov(fitted, vcov)[fitted$names, fitted$names, drop = FALSE]
  list(V = t(combine) %*% V %*% combine, df = df)
}

# Bell and McCaffrey (2002), Pustejovsky and Tipton (2018): scores of every cluster, adjusted so that
# the sum of their squares is unbiased when errors are independent with variance 1 / weight: what
# clubSandwich::vcovCR(type = "CR2") gives for lm on rows multiplied by the root of their weight. (Its
# own `target = 1 / weight` takes another of the roots that are unbiased, so that splitting a case in
# two halves would change the result.)
#
# With the rows of the model matrix and the residuals multiplied by the root of the weights, X and e,
# B = (X'X)^-1 and X_g the rows of cluster g, the score is a_g'e_g with a_g = A_g X_g B c, and A_g the symmetric root
# of the inverse of I - X_g B X_g' (zero where that is zero). Outside the span of X_g = U D V' the
# root is the identity, so that it is taken of the small matrix I - D V' B V D.
#
# Under that model the scores of clusters g, h and combinations s, t have, with a_g = A_g X_g B c, the
# covariance a_gs'a_gt (only if g = h) - a_gs'X_g B X_h'a_ht.
#
# Returns for q combinations scores (G x q), Xa = X_g'a_g (K x G x q), aa = a_g'a_g (q x q x G), and B
# (K x K).
adjusted_scores <- function(fitted, combine) {
  use <- !is.na(coef(fitted$fit))
  root <- sqrt(fitted$cells$weight)
  X <- model.matrix(fitted$fit)[, use, drop = FALSE] * root
  length_of <- sqrt(colSums(X^2))
  X <- sweep(X, 2, length_of, "/")
  e <- residuals(fitted$fit) * root
  B <- tcrossprod(backsolve(qr.R(qr(X, LAPACK = FALSE)), diag(ncol(X))))
  direction <- matrix(0, ncol(X), ncol(combine), dimnames = list(colnames(X), NULL))
  direction[fitted$names, ] <- combine / length_of[fitted$names]
  direction <- B %*% direction
  clusters <- split(seq_along(e), factor(fitted$cells$cluster))
  G <- length(clusters)
  q <- ncol(combine)
  scores <- matrix(0, G, q)
  Xa <- array(0, c(ncol(X), G, q))
  aa <- array(0, c(q, q, G))
  for (g in seq_len(G)) {
    rows <- clusters[[g]]
    active <- which(colSums(X[rows, , drop = FALSE] != 0) > 0)
    Xg <- X[rows, active, drop = FALSE]
    a <- adjusted_rows(Xg, B[active, active, drop = FALSE], direction[active, , drop = FALSE])
    scores[g, ] <- crossprod(a, e[rows])
    Xa[active, g, ] <- crossprod(Xg, a)
    aa[, , g] <- crossprod(a)
  }
  list(scores = scores, Xa = Xa, aa = aa, B = B)
}

# a_g = A_g X_g B c of one cluster.
adjusted_rows <- function(Xg, B, Bc) {
  parts <- svd(Xg, nv = ncol(Xg))
  kept <- parts$d > 1e-9 * parts$d[1]
  U <- parts$u[, kept, drop = FALSE]
  DV <- parts$d[kept] * t(parts$v[, seq_along(parts$d), drop = FALSE][, kept, drop = FALSE])
  left <- eigen(diag(sum(kept)) - DV %*% B %*% t(DV), symmetric = TRUE)
  power <- ifelse(left$values > 1e-8, 1 / sqrt(pmax(left$values, 1e-8)), 0)
  U %*% (left$vectors %*% (power * crossprod(left$vectors, DV %*% Bc)))
}

# CR2 of combinations of the terms and Satterthwaite's degrees of freedom: twice the squared mean of
# the estimated variance over its variance, under the working model.
bias_reduced <- function(fitted, combine) {
  adjusted <- adjusted_scores(fitted, combine)
  df <- vapply(seq_len(ncol(combine)), function(s) {
    one <- list(B = adjusted$B, Xa = adjusted$Xa[, , s, drop = FALSE],
                aa = adjusted$aa[s, s, , drop = FALSE])
    sum(variances_of(one))^2 / (total_variance(one) / 2)
  }, 1)
  list(V = crossprod(adjusted$scores), df = df)
}

# Pustejovsky and Tipton's (2018) AHT test that the combinations are all zero (clubSandwich's "HTZ"):
# the F statistic and its denominator degrees of freedom.
aht_test <- function(fitted, combine) {
  q <- ncol(combine)
  if (q == 0) return(c(NA_real_, NA_real_))
  adjusted <- adjusted_scores(fitted, combine)
  half <- inverse_half(rowSums(variances_of(adjusted), dims = 2))
  estimated <- inverse_half(crossprod(adjusted$scores))
  if (is.null(half) || is.null(estimated)) return(c(NA_real_, NA_real_))
  K <- nrow(adjusted$B)
  G <- nrow(adjusted$scores)
  combined <- list(
    B = adjusted$B,
    Xa = array(matrix(adjusted$Xa, K * G) %*% t(half), c(K, G, q)),
    aa = array(apply(adjusted$aa, 3, function(x) half %*% x %*% t(half)), c(q, q, G))
  )
  total <- total_variance(combined)
  eta <- q * (q + 1) / total
  df <- eta - q + 1
  if (df <= 0) return(c(NA_real_, df))
  c(df / (eta * q) * sum((estimated %*% crossprod(combine, fitted$estimate))^2), df)
}

# Variances of the scores of each cluster under the working model, q x q x G.
variances_of <- function(adjusted) adjusted$aa - aHa_of(adjusted)

aHa_of <- function(adjusted) {
  q <- dim(adjusted$aa)[1]
  aHa <- array(0, dim(adjusted$aa))
  for (s in seq_len(q)) for (t in seq_len(q)) {
    BXa <- adjusted$B %*% matrix(adjusted$Xa[, , t], nrow(adjusted$B))
    aHa[s, t, ] <- colSums(matrix(adjusted$Xa[, , s], nrow(adjusted$B)) * BXa)
  }
  aHa
}

# Summed variances of the entries of the covariance: with P the covariances of the scores, the sum
# over clusters g, h of (sum over s of P[gs, hs])^2 and of the sum over s, t of P[gs, ht] P[gt, hs].
# Sums over pairs follow from the summed products of Xa, except for clusters that are fitted almost
# exactly, where these would cancel to nothing: their pairs are taken one by one.
total_variance <- function(adjusted) {
  q <- dim(adjusted$aa)[1]
  of_each <- function(x) matrix(apply(x, 3, function(part) diag(as.matrix(part))), q)
  high <- colSums(of_each(aHa_of(adjusted)) > 0.5 * of_each(adjusted$aa)) > 0
  total <- total_of_all_pairs(adjusted, !high)
  for (g in which(high)) {
    P <- array(0, dim(adjusted$aa))
    for (s in seq_len(q)) for (t in seq_len(q)) {
      P[s, t, ] <- -drop(adjusted$Xa[, g, s] %*% adjusted$B %*%
                           matrix(adjusted$Xa[, , t], nrow(adjusted$B)))
    }
    P[, , g] <- P[, , g] + adjusted$aa[, , g]
    pairs <- colSums(of_each(P))^2 + colSums(matrix(P * aperm(P, c(2, 1, 3)), q * q))
    total <- total + sum(ifelse(high, 1, 2) * pairs)
  }
  total
}

total_of_all_pairs <- function(adjusted, use) {
  if (!any(use)) return(0)
  adjusted$aa <- adjusted$aa[, , use, drop = FALSE]
  adjusted$Xa <- adjusted$Xa[, use, , drop = FALSE]
  q <- dim(adjusted$aa)[1]
  aa <- adjusted$aa
  fitted <- aHa_of(adjusted)
  traces <- function(x) apply(x, 3, function(each) sum(diag(as.matrix(each))))
  total <- sum(traces(aa)^2) - 2 * sum(traces(aa) * traces(fitted)) +
    sum(aa^2) - 2 * sum(aa * fitted)
  through <- function(s, t) {
    adjusted$B %*% tcrossprod(matrix(adjusted$Xa[, , s], nrow(adjusted$B)),
                           matrix(adjusted$Xa[, , t], nrow(adjusted$B)))
  }
  for (s in seq_len(q)) for (t in seq_len(q)) {
    there <- through(s, t)
    total <- total + sum(there * t(through(t, s))) + sum(there * t(there))
  }
  total
}

# A with A'A the inverse of a covariance; nothing if that is singular.
inverse_half <- function(V) {
  scale <- sqrt(pmax(diag(V), 0))
  if (!all(scale > 0)) return(NULL)
  parts <- eigen(V / outer(scale, scale), symmetric = TRUE)
  if (min(parts$values) <= 1e-11) return(NULL)
  sweep(t(parts$vectors) / sqrt(parts$values), 2, scale, "/")
}

bias_reduced_by_case <- function(fitted, combine) {
  V <- clubSandwich::vcovCR(fitted$fit, cluster = factor(fitted$cells$cluster), type = "CR2")
  known <- names(coef(fitted$fit))[!is.na(coef(fitted$fit))]
  contrasts <- matrix(0, ncol(combine), length(known), dimnames = list(NULL, known))
  contrasts[, fitted$names] <- t(combine)
  # Of one contrast, HTZ is Satterthwaite's approximation; linear_contrast() of clubSandwich 0.5.8
  # stops at weighted fits.
  df <- vapply(seq_len(ncol(combine)), function(i) {
    clubSandwich::Wald_test(fitted$fit, constraints = contrasts[i, , drop = FALSE], vcov = V,
                            test = "HTZ")$df_denom
  }, 1)
  V <- as.matrix(V)[fitted$names, fitted$names, drop = FALSE]
  list(V = t(combine) %*% V %*% combine, df = df)
}

# Coefficients of the terms without each cluster, a row a cluster; missing when they cannot be told.
without_each <- function(fitted, form, covariates) {
  cells <- fitted$cells
  terms <- length(fitted$names)
  rows <- lapply(sort(unique(as.character(cells$cluster))), function(g) {
    rest <- fit_cells(cells[as.character(cells$cluster) != g, ], form, covariates, fitted$terms)
    ifelse(can_be_told(rest$fit, terms), rest$estimate, NA_real_)
  })
  do.call(rbind, rows)
}

# Whether each of the last columns is independent of those that lm left out as collinear.
can_be_told <- function(fit, terms) {
  qr <- fit$qr
  k <- ncol(qr$qr)
  told <- rep(TRUE, k)
  if (qr$rank < k) {
    kept <- seq_len(qr$rank)
    R <- qr.R(qr)
    load <- backsolve(R[kept, kept], R[kept, -kept, drop = FALSE])
    told[qr$pivot[kept]] <- apply(abs(load) < 1e-6, 1, all)
    told[qr$pivot[-kept]] <- FALSE
  }
  tail(told, terms)
}

# The rows that a variance is computed on: cases for CR2-cases, else cells.
rows_for <- function(data, form, covariates, by, vcov) {
  if (vcov != "CR2-cases") return(collapse_for(data, form, covariates, by))
  data$n_cases <- 1
  data
}
