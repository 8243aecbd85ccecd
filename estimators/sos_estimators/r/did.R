# The classic difference-in-differences on cases: lm or glm, standard errors by sandwich.
#
#   source("did.R", chdir = TRUE)
#   did_fit(cases, form = "twfe", model = "linear", vcov = "CR2", covariates = c("age", "sex"))
#
# The columns of `cases` are described in common.R.

source("common.R", local = TRUE)

# form    "twfe"        unit and period effects
#         "stacked"     unit and period effects of each matched group (Cengiz et al. 2019)
#         "pilot-post"  value ~ period + treated + post + covariates + treated:post, no unit effects
# model   "linear", or "logit" for a value of 0 or 1
# vcov    "CR2", "CR2-cases", "CR3", "CR3J" for a linear model: see combined_vcov() in common.R; and
#         "CR0", "CR1", "CR1S", "fixest": see small_sample() there
#
# Returns terms, estimates, standard errors, their degrees of freedom, and for each column
# of the structure and the covariates whether it was kept (TRUE) or collinear (FALSE).
did_fit <- function(data, form = "twfe", model = "linear",
                    vcov = if (model == "linear") "CR2" else "CR1", covariates = NULL) {
  check_input(data, union(needed_columns(form), c("treated", "post")), covariates)
  data$D <- data$treated * data$post
  cells <- rows_for(data, form, covariates, "D", vcov)
  fitted <- fit_cells(cells, form, covariates, "D", model)
  answer <- list(kept = fitted$kept, aliased = fitted$aliased, lost = fitted$lost,
                 df = length(unique(cells$cluster)) - 1)
  if (fitted$aliased) return(answer)
  if (model == "linear") {
    variance <- combined_vcov(fitted, vcov, diag(1), form, covariates)
    answer$df <- variance$df
    return(c(answer, list(term = "ATT", estimate = fitted$estimate,
                          std_error = sqrt(drop(variance$V)))))
  }
  V <- cluster_vcov(fitted, vcov)
  slope <- c(fitted$estimate, sqrt(V[fitted$names, fitted$names]))
  rows <- rbind(average_effect(fitted, V), slope)
  c(answer, list(
    term = c("ATT", "log_odds"),
    estimate = rows[, 1],
    std_error = rows[, 2]
  ))
}

# Logit: average effect on the treated cases after adoption, in probabilities, with the standard
# error of the delta method.
average_effect <- function(fitted, V) {
  use <- !is.na(coef(fitted$fit))
  beta <- coef(fitted$fit)[use]
  treated <- fitted$cells$D == 1
  with <- without <- model.matrix(fitted$fit)[treated, use, drop = FALSE]
  without[, fitted$names] <- 0
  share <- fitted$cells$weight[treated] / sum(fitted$cells$weight[treated])
  eta_with <- drop(with %*% beta)
  eta_without <- drop(without %*% beta)
  effect <- sum(share * (plogis(eta_with) - plogis(eta_without)))
  gradient <- colSums(share * (dlogis(eta_with) * with - dlogis(eta_without) * without))
  c(effect, sqrt(drop(gradient %*% V %*% gradient)))
}
