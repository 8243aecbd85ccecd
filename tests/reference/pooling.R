# Makes pooling_effects.csv (published effects) and pooling_results.csv (what metafor gives for them).
#
#   cd tests/reference && Rscript pooling.R
#
# bcg: 13 trials of a vaccine against tuberculosis, log risk ratios (Colditz and others 1994, JAMA
# 271(9)); teachers: 19 studies of teachers' expectations and pupils' IQ, standardised mean
# differences (Raudenbush 1984, Journal of Educational Psychology 76(1)); smoke: 37 studies of passive
# smoking and lung cancer, log odds ratios (Hackshaw, Law and Wald 1997, BMJ 315). All three come with
# metafor (package metadat). Iterations are more precise than metafor's default.
library(metafor)

bcg <- escalc("RR", ai = tpos, bi = tneg, ci = cpos, di = cneg, data = dat.bcg)
data <- list(bcg = bcg, teachers = dat.raudenbush1985, smoke = dat.hackshaw1998)

effects <- do.call(rbind, lapply(names(data), function(name) {
  given <- data[[name]]
  data.frame(data = name, pilot = seq_along(given$yi), estimate = as.numeric(given$yi),
             std_error = sqrt(given$vi))
}))

row <- function(name, term, value) data.frame(data = name, term = term, value = as.numeric(value))

results <- do.call(rbind, lapply(names(data), function(name) {
  given <- data[[name]]
  fits <- lapply(c(knha = "knha", adhoc = "adhoc", z = "z"), function(test) {
    rma(yi, vi, data = given, method = "REML", test = test,
        control = list(threshold = 1e-12, maxiter = 10000))
  })
  fit <- fits$knha
  ends <- confint(fit, type = "QP", control = list(tol = 1e-14, maxiter = 10000))$random[1, ]
  next_one <- predict(fit)
  alone <- blup(fit)
  rbind(
    row(name, paste("std_error", names(fits)), sapply(fits, function(f) f$se)),
    row(name, c("estimate", "tau2", "i2", "q", "q_p_value"),
        c(fit$beta, fit$tau2, fit$I2 / 100, fit$QE, fit$QEp)),
    row(name, c("p_value", "conf_low", "conf_high"), c(fit$pval, fit$ci.lb, fit$ci.ub)),
    row(name, c("tau2_low", "tau2_high"), ends[c("ci.lb", "ci.ub")]),
    row(name, c("prediction_low k-1", "prediction_high k-1"), c(next_one$pi.lb, next_one$pi.ub)),
    row(name, paste("weight", seq_along(given$yi)), weights(fit) / 100),
    row(name, paste("shrunken", seq_along(given$yi)), alone$pred),
    row(name, paste("shrunken_std_error", seq_along(given$yi)), alone$se),
    row(name, paste("shrunken_low", seq_along(given$yi)), alone$pi.lb)
  )
}))

plain <- function(frame, file) {
  numbers <- vapply(frame, is.double, logical(1))
  frame[numbers] <- lapply(frame[numbers], function(x) trimws(format(x, digits = 15)))
  write.csv(frame, file, row.names = FALSE, quote = FALSE)
}
plain(effects, "pooling_effects.csv")
plain(results, "pooling_results.csv")
