# Weighted stacked difference-in-differences (Wing, Freedman and Hollingsworth 2024, NBER Working
# Paper 32054): one sub-experiment for each cohort, put on top of each other, in one regression of the
# value on event time, cohort membership and their product.
#
#   source("stacked.R", chdir = TRUE)
#   stacked(cases, cohorts = c(2014, 2015), before = 3, after = 2)
#
# The columns of `cases` are described in staggered.R.

source("staggered.R", local = TRUE)

# cohorts  cohorts with cases, treated and compared, in all periods of their window
# before   periods before adoption; after: periods after the first treated one
# control  "notyettreated": units not treated by the end of the window; "nevertreated"
# weights  "corrective" or "none"
# by_cohort  FALSE: one product for each event time; TRUE: of each cohort, with event times and
#          membership of its own
# Returns the products' coefficients, less the reference, and what each cluster adds to them.
stacked <- function(data, cohorts, before, after, covariates = NULL, anticipation = 0,
                    control = "notyettreated", weights = "corrective", vcov = "CR1",
                    by_cohort = FALSE, own_effects = FALSE) {
  data <- with_event_time(data, anticipation)
  rows <- do.call(rbind, lapply(cohorts, function(g) {
    data$sub <- g
    data$event <- data$period - g
    data$D <- +(data$cohort == g)
    clean <- data$cohort == 0 |
      (control == "notyettreated" & data$cohort - anticipation > g + after)
    data[data$event >= -before & data$event <= after & (data$D == 1 | clean), ]
  }))
  if (weights == "corrective") {
    total <- function(...) ave(rows$weight, ..., FUN = sum)
    treated <- rows$weight * rows$D
    share <- total(rows$D, rows$event, rows$sub) / total(rows$D, rows$event)
    of_treated <- ave(treated, rows$event, rows$sub, FUN = sum) / ave(treated, rows$event, FUN = sum)
    rows$weight <- rows$weight * ifelse(rows$D == 1, 1, of_treated / share)
  }
  pairs <- expand.grid(event = setdiff(-before:after, -1 - anticipation),
                       cohort = if (by_cohort) cohorts else 0)
  names <- paste0("product_", seq_len(nrow(pairs)))
  for (k in seq_along(names)) {
    of <- !by_cohort | rows$sub == pairs$cohort[k]
    rows[[names[k]]] <- +(rows$D == 1 & rows$event == pairs$event[k] & of)
  }
  sub <- if (by_cohort) rows$sub else 0
  rows$unit <- paste(rows$D, sub)
  rows$period <- paste(rows$event, sub)
  fitted <- fit_cells(rows, "twfe", covariates, names)
  answer <- list(kept = fitted$kept, aliased = fitted$aliased, lost = fitted$lost)
  if (fitted$aliased) return(answer)
  own <- if (own_effects) {
    products <- as.matrix(rows[names]) * rows$weight
    shares <- unname(rowsum(sweep(products, 2, colSums(products), "/"), rows$cluster))
    plain <- unname(cluster_scores(fitted, "CR0"))
    levels <- sweep(shares, 2, unname(fitted$estimate), "*")
    list(contributions = by_row(plain + levels), shares = by_row(shares))
  }
  c(answer, own, list(estimate = fitted$estimate, scores = by_row(cluster_scores(fitted, vcov)),
                 cohort = pairs$cohort, event = pairs$event))
}
