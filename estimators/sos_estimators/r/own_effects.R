# Standard errors from the treated clusters' own effects: honest where these are few (Ibragimov and
# Muller 2010, Journal of Business and Economic Statistics 28(4); Bell and McCaffrey 2002, Survey
# Methodology 28(2)).
#
# estimate       averages of effects
# contributions  what each cluster adds to them before it is centred: of a treated cluster its own
#                effect times its share (clusters x averages)
# shares         how much each treated cluster counts, columns adding up to one; 0 for the others
# Returns
#   own_scores   what each cluster adds to the errors, row by row: their cross products are the
#                covariance; NA for an average that rests on one treated cluster
#   own_df       degrees of freedom of t tests
own_effects <- function(estimate, contributions, shares) {
  each <- lapply(seq_along(estimate), function(j) {
    own_effect(estimate[j], contributions[, j], shares[, j])
  })
  scores <- vapply(each, function(x) x$scores, numeric(nrow(shares)))
  list(own_scores = as.vector(t(matrix(scores, nrow(shares)))),
       own_df = vapply(each, function(x) x$df, 0))
}

own_effect <- function(estimate, contribution, share) {
  treated <- share != 0
  none <- list(scores = rep(NA_real_, length(share)), df = NA_real_)
  s <- share[treated]
  if (!length(s)) return(list(scores = contribution, df = NA_real_))  # a reference period
  # the share of its own variance that a departure keeps: that of e_i = tau_i - sum(s * tau)
  lost <- 1 - 2 * s + sum(s^2)
  if (is.na(estimate) || any(lost <= 1e-9)) return(none)
  scores <- contribution - share * estimate
  scores[treated] <- scores[treated] / sqrt(lost)
  # the quadratic form of the treated part in own effects of one variance
  departures <- (diag(length(s)) - rep(s, each = length(s))) * s / sqrt(lost)
  values <- eigen(tcrossprod(departures), symmetric = TRUE, only.values = TRUE)$values
  df_treated <- sum(values)^2 / sum(values^2)
  others <- scores[!treated]
  df_others <- max(sum(abs(others) > 1e-12 * max(abs(others), 0)) - 1, 1)
  parts <- c(sum(scores[treated]^2), sum(others^2))
  if (sum(parts) == 0) return(list(scores = scores, df = df_treated))
  list(scores = scores,
       df = sum(parts)^2 / (parts[1]^2 / df_treated + parts[2]^2 / df_others))
}
