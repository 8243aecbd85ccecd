# Effects of pilots pooled by random effects, by the package metafor.
#
# Viechtbauer, W. (2010), Conducting meta-analyses in R with the metafor package, Journal of
# Statistical Software 36(3), 1-48.
#
#   source("random_effects.R")
#   random_effects(estimate, std_error)
#
# estimate       effect in each pilot
# std_error      its standard error, above 0
# errors         "hartung-knapp" with t(k - 1), "adhoc" (the same, its factor at least 1), or "wald"
#                with the normal distribution
# safeguard      TRUE: never an interval that is narrower than that of a common effect
# prediction_df  degrees of freedom of the interval for a further pilot: "k-2" (Higgins, Thompson and
#                Spiegelhalter 2009) or "k-1", which is what metafor's predict() takes after "knha"
#
# metafor stops its iterations, and searches the ends of the interval of tau2, by steps and bounds that
# are absolute numbers: shares, per cents and days would be estimated with different precision. So
# effects are scaled to a size of 1 before and back after.
#
# Returns a list: the pooled effect (estimate, std_error, df, p_value, conf_low, conf_high), tau2 and
# its interval, i2 (a share), Cochran's q with q_df and q_p_value, the prediction interval (missing
# where it has no degrees of freedom), and for each pilot weight, shrunken and its error and interval.
random_effects <- function(estimate, std_error, errors = "hartung-knapp", safeguard = TRUE,
                           prediction_df = "k-2", conf_level = 0.95) {
  size <- sqrt(stats::var(estimate) + mean(std_error^2))
  effects <- metafor_effects(estimate / size, std_error / size, errors, conf_level)
  fit <- if (safeguard) no_narrower(effects$fit, effects$common) else effects$fit
  df <- length(estimate) - if (prediction_df == "k-2") 2 else 1
  figures <- c(
    average(fit, conf_level),
    list(tau2 = fit$tau2, tau2_low = effects$ends[1], tau2_high = effects$ends[2], i2 = fit$I2 / 100,
         q = fit$QE, q_df = length(estimate) - 1, q_p_value = fit$QEp),
    next_pilot(fit, df, conf_level),
    shrunken(fit)
  )
  in_units(figures, size)
}

# The same on a data frame with the columns `estimate` and `std_error`.
random_effects_of <- function(data, ...) random_effects(data$estimate, data$std_error, ...)

# The fit, that of a common effect, and the ends of the interval of tau2.
metafor_effects <- function(estimate, std_error, errors, conf_level) {
  test <- c("hartung-knapp" = "knha", "adhoc" = "adhoc", "wald" = "z")[[errors]]
  level <- 100 * conf_level
  rma <- function(...) metafor::rma(estimate, sei = std_error, level = level, ...)
  fit <- converged(function(control) rma(method = "REML", test = test, control = control))
  ends <- q_profile(fit, conf_level)
  if (fit$tau2 < 1e-9) fit <- rma(method = "REML", test = test, tau2 = 0)  # as near as it iterates
  list(fit = fit, common = rma(method = "EE", test = "z"), ends = ends)
}

# Iterate with whole steps and, where these leap to and fro about the maximum, with shorter ones.
converged <- function(iterate, steps = c(1, 0.5, 0.2)) {
  tryCatch(
    iterate(list(threshold = 1e-11, maxiter = 10000, stepadj = steps[1])),
    error = function(e) if (length(steps) > 1) converged(iterate, steps[-1]) else stop(e)
  )
}

# Both ends of tau2 by Q-profile; 0 where metafor finds none because even 0 lets effects differ more.
q_profile <- function(fit, conf_level) {
  smallest <- stats::qchisq((1 - conf_level) / 2, fit$k - 1)
  bound <- sum((fit$yi - mean(fit$yi))^2) / smallest + 1
  if (fit$QE <= smallest) return(c(0, 0))
  found <- stats::confint(fit, type = "QP", control = list(
    tol = 1e-15, maxiter = 100000, tau2.min = 0, tau2.max = 2 * bound
  ))
  unname(unlist(found$random[1, c("ci.lb", "ci.ub")]))
}

# The fit with the error of a common effect where its own would give a narrower interval.
no_narrower <- function(fit, common) {
  if (fit$ci.ub - fit$ci.lb >= common$ci.ub - common$ci.lb) return(fit)
  fit$se <- common$se
  fit$vb <- common$vb
  fit$test <- "z"
  fit$dfs <- NA
  fit
}

average <- function(fit, conf_level) {
  df <- if (fit$test == "z") Inf else fit$dfs[1]
  half <- stats::qt((1 + conf_level) / 2, df) * fit$se
  estimate <- as.numeric(fit$beta)
  list(estimate = estimate, std_error = fit$se, df = df,
       p_value = 2 * stats::pt(-abs(estimate / fit$se), df),
       conf_low = estimate - half, conf_high = estimate + half)
}

next_pilot <- function(fit, df, conf_level) {
  if (df < 1) return(list(prediction_low = NA_real_, prediction_high = NA_real_,
                          prediction_df = NA_real_))
  half <- stats::qt((1 + conf_level) / 2, df) * sqrt(fit$tau2 + fit$se^2)
  list(prediction_low = as.numeric(fit$beta) - half, prediction_high = as.numeric(fit$beta) + half,
       prediction_df = df)
}

shrunken <- function(fit) {
  found <- metafor::blup(fit)
  list(weight = as.numeric(stats::weights(fit)) / 100, shrunken = as.numeric(found$pred),
       shrunken_std_error = as.numeric(found$se), shrunken_low = as.numeric(found$pi.lb),
       shrunken_high = as.numeric(found$pi.ub))
}

# Figures of effects of size 1 in the units that they came in.
in_units <- function(figures, size) {
  squared <- c("tau2", "tau2_low", "tau2_high")
  without <- c("df", "p_value", "i2", "q", "q_df", "q_p_value", "prediction_df", "weight")
  for (name in setdiff(names(figures), without)) {
    figures[[name]] <- figures[[name]] * if (name %in% squared) size^2 else size
  }
  figures
}
