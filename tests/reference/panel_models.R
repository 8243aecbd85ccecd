# Makes panel_models_data.csv (Grunfeld's firms) and panel_models_results.csv (what plm gives for them).
#
#   cd tests/reference && Rscript panel_models.R
#
# Grunfeld (1958), The Determinants of Corporate Investment: ten firms, 1935-1954, as in Baltagi
# (2013), Econometric Analysis of Panel Data, whose tables have the same estimates. unbalanced leaves
# out every row whose number from 0 leaves 3 when divided by 7. Wooldridge's test is on differences of
# neighbouring years, so it is made of the balanced panel alone: pwfdtest takes rows of a panel with
# gaps for neighbours.
library(plm)

data("Grunfeld", package = "plm")
write.csv(Grunfeld, "panel_models_data.csv", row.names = FALSE)
panels <- list(balanced = Grunfeld, unbalanced = Grunfeld[(seq_len(200) - 1) %% 7 != 3, ])
model <- inv ~ value + capital

row <- function(panel, figure, value) {
  data.frame(panel = panel, figure = figure, value = sprintf("%.12g", value))
}
of_fit <- function(panel, name, fit) {
  table <- coef(summary(fit))
  rbind(row(panel, paste0(name, "_", rownames(table)), table[, 1]),
        row(panel, paste0(name, "_", rownames(table), "_std_error"), table[, 2]))
}
results <- do.call(rbind, lapply(names(panels), function(name) {
  panel <- panels[[name]]
  fixed <- plm(model, panel, model = "within")
  random <- plm(model, panel, model = "random")
  clustered <- sqrt(diag(vcovHC(fixed, method = "arellano", type = "HC0")))
  clustered_random <- sqrt(diag(vcovHC(random, method = "arellano", type = "HC0")))
  components <- ercomp(random)
  rbind(
    of_fit(name, "fixed", fixed), of_fit(name, "random", random),
    row(name, paste0("fixed_", names(clustered), "_cluster"), clustered),
    row(name, paste0("random_", names(clustered_random), "_cluster"), clustered_random),
    row(name, c("variance_within", "variance_of_effects"), components$sigma2),
    row(name, "theta_smallest", min(components$theta)),
    row(name, "hausman", phtest(fixed, random)$statistic)
  )
}))
test <- pwfdtest(model, data = Grunfeld, h0 = "fe")
results <- rbind(results, row("balanced", "wooldridge", test$statistic))
write.csv(results, "panel_models_results.csv", row.names = FALSE, quote = FALSE)
