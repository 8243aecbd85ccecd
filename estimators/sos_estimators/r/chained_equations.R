# Multiple imputation by chained equations with the package mice: predictive mean matching for
# numbers, logit for flags, multinomial logit for categories.
#
# impute(data, ...) takes one row a case with the columns unit and period (codes), value, post,
# during, and the covariates x1, x2, ... (numbers, or codes of levels from 1; NA in gaps).
#
# covariates  names of the covariates
# levels      number of levels of each; 0 for a number
# sets, iterations, donors, seed
#
# mice(seed = ) sets the global generator of R; its state is put back.

impute <- function(data, covariates, levels, sets, iterations, donors, seed) {
  suppressPackageStartupMessages(library(mice))
  before <- if (exists(".Random.seed", globalenv())) get(".Random.seed", globalenv())
  on.exit({
    if (is.null(before)) rm(".Random.seed", envir = globalenv())
    else assign(".Random.seed", before, globalenv())
  })
  cases <- as.data.frame(data)
  for (column in c("unit", "period")) {
    if (length(unique(cases[[column]])) > 1) cases[[column]] <- factor(cases[[column]])
  }
  for (j in seq_along(covariates)) {
    if (levels[j] > 0) {
      cases[[covariates[j]]] <- factor(cases[[covariates[j]]], levels = seq_len(levels[j]))
    }
  }
  gaps <- vapply(cases, anyNA, logical(1))
  method <- setNames(rep("", ncol(cases)), names(cases))
  for (j in seq_along(covariates)) {
    if (gaps[[covariates[j]]]) method[covariates[j]] <- method_of(levels[j])
  }
  done <- mice(cases, m = sets, maxit = iterations, method = method, donors = donors, seed = seed,
               printFlag = FALSE, visitSequence = names(sort(colSums(is.na(cases[gaps])))))
  drawn <- lapply(done$imp[names(gaps)[gaps]], function(values) vapply(values, as.numeric,
                                                                      numeric(nrow(values))))
  list(values = lapply(drawn, as.vector), warnings = events_of(done))
}

method_of <- function(levels) {
  if (levels == 0) "pmm" else if (levels <= 2) "logreg" else "polyreg"
}

# What mice tells of columns that it left out of a model, one sentence each.
events_of <- function(done) {
  events <- done$loggedEvents
  if (is.null(events)) return(character(0))
  unique(paste0("mice, ", events$meth, ": ", events$out))
}
