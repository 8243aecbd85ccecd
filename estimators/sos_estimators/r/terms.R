# Any linear design on cases whose terms are columns of the data: lm, standard errors by common.R.
#
#   source("terms.R", chdir = TRUE)
#   cases$late <- cases$treated * (cases$period >= 2015)
#   terms_fit(cases, form = "twfe", vcov = "CR2", terms = "late", names = "late", averages = 1)
#
# The columns of `cases` are described in common.R.

source("common.R", local = TRUE)

# form      "twfe", "stacked" or "pilot-post", as in did.R
# vcov      as in did.R, of a linear model
# terms     names of columns: what coefficients are of
# names     names of the averages of these coefficients that are reported
# averages  how much each term counts in each average: all averages of the first term, then of the next
#
# Returns what did_fit() in did.R returns, with the covariance of the averages, row by row.
terms_fit <- function(data, form, vcov, terms, names, averages, covariates = NULL) {
  check_input(data, union(needed_columns(form), terms), covariates)
  combine <- matrix(averages, nrow = length(terms), byrow = TRUE)
  fitted <- fit_cells(rows_for(data, form, covariates, terms, vcov), form, covariates, terms)
  answer <- list(kept = fitted$kept, aliased = fitted$aliased, lost = fitted$lost)
  if (fitted$aliased) return(answer)
  variance <- combined_vcov(fitted, vcov, combine, form, covariates)
  c(answer, list(
    term = names,
    estimate = drop(fitted$estimate %*% combine),
    covariance = as.vector(variance$V),
    df = variance$df
  ))
}
