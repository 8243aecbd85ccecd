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
