# The statistical part of the analysis of 2021 on the cases of one outcome: exact matching, composite
# weights, the regression, its logit, leads and lags, serial correlation, fixed effects; pooled over
# imputed data sets. It shares no code with sos-plugins.
#
#   sos-plugins new study published --preset wwcsc-2021
#   sos-plugins export published.toml kinship-care --out cases.csv
#   Rscript analysis.R cases.csv results.csv age,sex,ethnic_group,disabled,uasc,previous_plan ofsted,fsm_primary,...
#
# The arguments are the cases, the results, the covariates of the child (matched on and adjusted for)
# and those of the authority (adjusted for; may be left out), all that the study has. Needs base R and sandwich; with MatchIt
# installed the matching is done a second time by it, with mice the pooling.

arguments <- commandArgs(trailingOnly = TRUE)
split_names <- function(text) if (is.na(text) || text == "") character() else strsplit(text, ",")[[1]]
child <- split_names(arguments[3])
authority <- split_names(arguments[4])
cases <- read.csv(arguments[1], colClasses = c(unit = "character", child = "character",
                                               group = "character", cluster = "character"))
age_cuts <- c(4.5, 12.5)
first_lead <- -9
last_lag <- 3

# Strata of children who are alike, within matched group and before or after the window.
strata_of <- function(data) {
  alike <- lapply(child, function(name) {
    x <- data[[name]]
    if (name == "age") findInterval(x, age_cuts) else as.character(x)
  })
  do.call(paste, c(list(data$group, data$post), alike, sep = "|"))
}

# A case starts with one over the times that it is matched. Controls of stratum s are scaled by
# (T_s / C_s) x (C / T), T and C being sums of starting weights.
composite_weights <- function(data) {
  stratum <- strata_of(data)
  pilots <- tapply(data$treated == 1, stratum, any)
  others <- tapply(data$treated == 0, stratum, any)
  matched <- as.vector((pilots & others)[stratum])
  occasion <- paste(data$unit, data$child, data$date)
  times <- table(occasion[matched])
  start <- ifelse(matched, data$weight_before / as.numeric(times[occasion]), 0)
  T_s <- tapply(start * (data$treated == 1), stratum, sum)
  C_s <- tapply(start * (data$treated == 0), stratum, sum)
  T <- sum(start[data$treated == 1])
  C <- sum(start[data$treated == 0])
  scale <- as.numeric((T_s / C_s)[stratum]) * C / T
  check_with_matchit(data, stratum, matched)
  ifelse(matched, ifelse(data$treated == 1, start, start * scale), 0)
}

check_with_matchit <- function(data, stratum, matched) {
  if (!requireNamespace("MatchIt", quietly = TRUE)) return(invisible())
  again <- MatchIt::matchit(treated ~ stratum, data.frame(treated = data$treated, stratum),
                            method = "exact")
  stopifnot("MatchIt matches other cases" = all((again$weights > 0) == matched))
}

# Covariance by authority, CR1: G / (G - 1).
clustered <- function(fit, data) {
  sandwich::vcovCL(fit, cluster = data$cluster, type = "HC0", cadjust = TRUE)
}

adjusted <- function(data, ...) {
  terms <- c("factor(calendar_period)", "treated", "post", varying(c(child, authority), data), ...)
  stats::reformulate(terms, "value")
}

# Columns without variation have no contrasts.
varying <- function(names, data) {
  Filter(function(name) length(unique(data[[name]])) > 1, names)
}

row <- function(term, estimate, std_error) data.frame(term, estimate, std_error)

linear <- function(data) {
  fit <- lm(adjusted(data, "D"), data, weights = weight)
  row("ATT", coef(fit)[["D"]], sqrt(clustered(fit, data)["D", "D"]))
}

# The cases without those of years and levels whose values are all 0 or all 1, which a logit fits exactly.
not_predicted <- function(data) {
  names <- c("calendar_period", Filter(function(name) is.character(data[[name]]), c(child, authority)))
  repeat {
    kept <- rep(TRUE, nrow(data))
    for (name in names) {
      mean_of <- ave(data$value, data[[name]])
      kept <- kept & mean_of > 0 & mean_of < 1
    }
    if (all(kept)) return(data)
    data <- data[kept, ]
  }
}

# The average over treated cases after adoption of what pilot x after does to the probability.
logit <- function(data) {
  if (!all(data$value %in% 0:1)) return(NULL)
  data <- not_predicted(data)
  fit <- suppressWarnings(glm(adjusted(data, "D"), quasibinomial(), data, weights = weight,
                              control = glm.control(epsilon = 1e-14, maxit = 100)))
  if (!fit$converged || max(abs(fit$linear.predictors)) > 25) return(NULL)
  use <- !is.na(coef(fit))
  beta <- coef(fit)[use]
  with <- without <- model.matrix(fit)[data$D == 1, use]
  without[, "D"] <- 0
  share <- data$weight[data$D == 1] / sum(data$weight[data$D == 1])
  ahead <- drop(with %*% beta)
  behind <- drop(without %*% beta)
  gradient <- colSums(share * (dlogis(ahead) * with - dlogis(behind) * without))
  V <- clustered(fit, data)
  row("logit AME", sum(share * (plogis(ahead) - plogis(behind))), sqrt(drop(gradient %*% V %*% gradient)))
}

leads_and_lags <- function(data) {
  event <- pmin(pmax(data$event, first_lead), last_lag)
  events <- setdiff(sort(unique(event[data$treated == 1])), -1)
  names <- paste0("event", seq_along(events))
  for (i in seq_along(events)) data[[names[i]]] <- as.numeric(data$treated == 1 & event == events[i])
  fit <- lm(adjusted(data, names), data, weights = weight)
  row(paste0("event=", events), unname(coef(fit)[names]), sqrt(diag(clustered(fit, data))[names]))
}

# Effects of children.
fixed_effects <- function(data) {
  x <- model.matrix(adjusted(data, "D"), data)[, -1]
  child_of <- paste(data$unit, data$child, data$group)
  total <- ave(data$weight, child_of, FUN = sum)
  centred <- function(column) column - ave(data$weight * column, child_of, FUN = sum) / total
  x <- apply(x, 2, centred)
  x <- x[, sqrt(colSums(x^2)) > 1e-7, drop = FALSE]
  if (!"D" %in% colnames(x)) return(NULL)
  fit <- lm(centred(data$value) ~ 0 + x, weights = data$weight)
  if (is.na(coef(fit)[["xD"]]) || nrow(x) - length(unique(child_of)) <= fit$rank) return(NULL)
  row("fixed", coef(fit)[["xD"]], sqrt(clustered(fit, data)["xD", "xD"]))
}

# Wooldridge's test: residuals of first differences on those before; 1 + 2b is the autocorrelation.
serial_correlation <- function(data) {
  x <- model.matrix(stats::reformulate(c(varying(c(child, authority), data), "D")), data)[, -1]
  key <- paste(data$unit, data$group, data$post, data$period, sep = "|")
  sums <- rowsum(cbind(value = data$value, x) * data$weight, key)
  means <- sums / drop(rowsum(data$weight, key))
  first <- data[match(rownames(means), key), c("unit", "group", "post", "period", "cluster")]
  series <- paste(first$unit, first$group, first$post)
  before <- match(paste(series, first$period - 1), paste(series, first$period))
  now <- which(!is.na(before))
  change <- means[now, , drop = FALSE] - means[before[now], , drop = FALSE]
  period <- model.matrix(~ 0 + factor(first$period[now]))
  residual <- lm.fit(cbind(period, change[, -1]), change[, 1])$residuals
  earlier <- match(before[now], now)
  pairs <- which(!is.na(earlier))
  frame <- data.frame(y = residual[pairs], lagged = residual[earlier[pairs]],
                      cluster = first$cluster[now][pairs])
  fit <- lm(y ~ lagged, frame)
  row("rho", 1 + 2 * coef(fit)[["lagged"]], 2 * sqrt(clustered(fit, frame)["lagged", "lagged"]))
}

# Rubin's rules with the degrees of freedom of Barnard and Rubin (1999).
pooled <- function(rows, complete) {
  m <- nrow(rows)
  within <- mean(rows$std_error^2)
  between <- (1 + 1 / m) * if (m > 1) var(rows$estimate) else 0
  total <- within + between
  share <- between / total
  observed <- (complete + 1) / (complete + 3) * complete * (1 - share)
  df <- if (m == 1) complete else 1 / (share^2 / (m - 1) + 1 / observed)
  if (m > 1 && requireNamespace("mice", quietly = TRUE)) {
    again <- mice::pool.scalar(rows$estimate, rows$std_error^2, n = complete + 1, k = 1)
    stopifnot("mice pools otherwise" = isTRUE(all.equal(c(again$qbar, again$t), c(mean(rows$estimate), total))))
  }
  data.frame(term = rows$term[1], estimate = mean(rows$estimate), std_error = sqrt(total), df = df)
}

cases$D <- cases$treated * cases$post
sets <- split(cases, cases$imputation)
results <- do.call(rbind, lapply(sets, function(data) {
  data$weight <- composite_weights(data)
  data <- data[data$weight > 0, ]
  rbind(linear(data), logit(data), leads_and_lags(data), serial_correlation(data), fixed_effects(data))
}))
complete <- length(unique(cases$cluster)) - 1
terms <- unique(results$term)
whole <- vapply(terms, function(term) sum(results$term == term) == length(sets), TRUE)
answer <- do.call(rbind, lapply(terms[whole], function(term) {
  pooled(results[results$term == term, ], complete)
}))
write.csv(answer, arguments[2], row.names = FALSE)
