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

# Regress value on effects, structure, covariates and terms, in this order, so that of collinear
# columns the later one is left out.
#
# cells       from collapse_for()
# terms       names of columns of cells: what is estimated
# model       "linear" or "logit"
fit_cells <- function(cells, form, covariates, terms, model = "linear") {
  effects <- lapply(effect_columns(form), function(columns) {
    interaction(lapply(cells[columns], factor), drop = TRUE)
  })
  names(effects) <- paste0("effect_", seq_along(effects))
  cells[names(effects)] <- effects
  right <- lapply(c(names(effects), structure_columns(form), covariates, terms), as.name)
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
    kept = unname(!is.na(coefficients[assign > length(effects) & !is_term])),
    n_outside = sum(!is.na(coefficients[assign > length(effects)]))
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
#   CR2     clubSandwich, with Satterthwaite degrees of freedom; fitted on cases, not on cells, since
#           its working model is one variance a case
#   CR3     (G - 1) / G times the squares of the coefficients without each cluster, about those of
#           the full sample
#   CR3J    the same about their mean
# combine   one row a term, one column a combination
combined_vcov <- function(fitted, vcov, combine, form, covariates) {
  df <- rep(length(unique(fitted$cells$cluster)) - 1, ncol(combine))
  if (vcov == "CR2") return(bias_reduced(fitted, combine))
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

bias_reduced <- function(fitted, combine) {
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

# The rows that a variance is computed on: cases for CR2, else cells.
rows_for <- function(data, form, covariates, by, vcov) {
  if (vcov != "CR2") return(collapse_for(data, form, covariates, by))
  data$n_cases <- 1
  data
}
