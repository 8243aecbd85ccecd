# What metafor gives for effects of pilots as a user would call it, for tests of engine r.
rma_of <- function(data, test) {
  fit <- metafor::rma(data$estimate, sei = data$std_error, method = "REML", test = test,
                      control = list(threshold = 1e-12, maxiter = 10000, stepadj = 0.5))
  ends <- stats::confint(fit, type = "QP", control = list(tol = 1e-14, tau2.max = 1e6))$random[1, ]
  alone <- metafor::blup(fit)
  following <- stats::predict(fit)
  list(estimate = as.numeric(fit$beta), std_error = fit$se, p_value = fit$pval, tau2 = fit$tau2,
       i2 = fit$I2 / 100, q = fit$QE, tau2_low = ends[["ci.lb"]], tau2_high = ends[["ci.ub"]],
       prediction_low = following$pi.lb, prediction_high = following$pi.ub,
       shrunken = as.numeric(alone$pred), shrunken_std_error = as.numeric(alone$se))
}
