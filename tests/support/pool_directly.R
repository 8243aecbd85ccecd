# Least squares on completed data sets, pooled by mice, and the joint test of two terms by mitml:
# what the tests of pooling compare with. data has the columns set, y, a, b.

pool_directly <- function(data) {
  sets <- split(as.data.frame(data), data$set)
  fits <- lapply(sets, function(d) lm(y ~ a + b, data = d))
  whole <- mice::pool(fits)
  rows <- cbind(summary(whole, conf.int = TRUE), whole$pooled[c("riv", "lambda", "fmi")])
  null <- lapply(sets, function(d) lm(y ~ 1, data = d))
  joint <- function(...) as.vector(mitml::testModels(fits, null, ...)$test)[c(1, 3, 4, 5)]
  rows$fmi <- mice::pool(fits, dfcom = Inf)$pooled$fmi  # free of the clusters that are few
  c(as.list(rows[, !duplicated(names(rows))]), list(
    d1_small = joint(method = "D1", df.com = fits[[1]]$df.residual),
    d1_large = joint(method = "D1"),
    d2 = joint(method = "D2", use = "wald")
  ))
}
