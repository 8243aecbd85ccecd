# Wooldridge's test of serial correlation on first differences, in base R.
#
#   source("serial_correlation.R", chdir = TRUE)
#   serial_correlation(changes, least = 1e-10)
#
# One row is a change of an authority's mean from one period to the next, with the columns
#   value    the change
#   cluster  what errors are clustered by
#   before   row of the change before in the same authority; 0 without one
#   x...     changes of covariates and treatment, and dummies of the periods

source("input.R", local = TRUE)

# Residuals up to least are rounding errors about zero.
#
# Returns the coefficient of residuals on those before (-0.5 where shocks are independent over periods),
# its error by cluster (CR1), and how many pairs and clusters it rests on.
serial_correlation <- function(data, least = 0) {
  check_input(data, c("value", "cluster", "before"))
  x <- as.matrix(data[grepl("^x", names(data))])
  residual <- lm.fit(x, data$value)$residuals
  residual[abs(residual) <= least] <- 0
  later <- which(data$before > 0)
  now <- residual[later]
  lagged <- residual[data$before[later]]
  fit <- lm(now ~ lagged)
  bread <- chol2inv(qr.R(qr(fit)))
  influence <- rowsum(model.matrix(fit) * residuals(fit), data$cluster[later]) %*% bread
  G <- nrow(influence)
  V <- G / (G - 1) * crossprod(influence)
  list(coefficient = coef(fit)[["lagged"]], std_error = sqrt(V[2, 2]), n_pairs = length(now),
       n_clusters = G)
}
