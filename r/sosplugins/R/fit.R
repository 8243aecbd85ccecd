fit_of <- function(answer) {
  structure(list(
    estimator = answer$provenance$estimator,
    engine = answer$provenance$engine,
    tidy = rows_of(answer$tidy),
    glance = answer$glance,
    vcov = matrix_of(answer$covariance),
    warnings = unlist(answer$warnings),
    agreement = if (length(answer$agreement)) rows_of(list(answer$agreement)),
    provenance = answer$provenance
  ), class = "sos_fit")
}

fits_of <- function(answers, estimator) {
  fits <- lapply(answers, fit_of)
  names(fits) <- vapply(fits, `[[`, "", "engine")
  structure(fits, estimator = estimator, class = "sos_fits")
}

matrix_of <- function(covariance) {
  if (is.null(covariance)) return(NULL)
  terms <- unlist(covariance$terms)
  values <- lapply(covariance$values, function(row) column_of(row))
  matrix(as.numeric(unlist(values)), length(terms), byrow = TRUE, dimnames = list(terms, terms))
}

sos_agreement <- function(fits) {
  if (!inherits(fits, "sos_fits")) {
    stop("'fits' must be what sos_estimate(..., engine = \"all\") returned.", call. = FALSE)
  }
  compared <- Filter(function(fit) !is.null(fit$agreement), unclass(fits))
  if (!length(compared)) return(data.frame())
  rows <- lapply(compared, function(fit) cbind(engine = fit$engine, fit$agreement))
  rows <- do.call(rbind, rows)
  row.names(rows) <- NULL
  rows
}

# ---- methods -------------------------------------------------------------------------------------

tidy.sos_fit <- function(x, ...) {
  table <- x$tidy
  names(table) <- chartr("_", ".", names(table))
  table
}

glance.sos_fit <- function(x, ...) {
  single <- vapply(x$glance, function(value) length(value) == 1L && !is.list(value), logical(1))
  one <- rows_of(list(x$glance[single]))
  cbind(estimator = x$estimator, engine = x$engine, one)
}

tidy.sos_fits <- function(x, ...) by_engine(x, tidy.sos_fit)

glance.sos_fits <- function(x, ...) {
  rows <- lapply(unclass(x), glance.sos_fit)
  columns <- unique(unlist(lapply(rows, names)))
  rows <- lapply(rows, function(row) {
    row[setdiff(columns, names(row))] <- NA
    row[columns]
  })
  bind(rows)
}

by_engine <- function(fits, table) {
  bind(lapply(unclass(fits), function(fit) cbind(engine = fit$engine, table(fit))))
}

bind <- function(rows) {
  all <- do.call(rbind, unname(rows))
  row.names(all) <- NULL
  all
}

as.data.frame.sos_fit <- function(x, ...) x$tidy
as.data.frame.sos_fits <- function(x, ...) {
  by_engine(x, function(fit) fit$tidy)
}

coef.sos_fit <- function(object, ...) {
  stats::setNames(object$tidy$estimate, object$tidy$term)
}

nobs.sos_fit <- function(object, ...) object$glance$n_cases

confint.sos_fit <- function(object, parm, level = object$glance$conf_level, ...) {
  if (!isTRUE(all.equal(level, object$glance$conf_level))) {
    stop("The intervals were made at level ", object$glance$conf_level,
         ": set conf_level in sos_estimate() for another.", call. = FALSE)
  }
  tails <- c((1 - level) / 2, (1 + level) / 2)
  ends <- as.matrix(object$tidy[c("conf_low", "conf_high")])
  dimnames(ends) <- list(object$tidy$term, paste(format(100 * tails, trim = TRUE), "%"))
  if (missing(parm)) ends else ends[parm, , drop = FALSE]
}

vcov.sos_fit <- function(object, ...) {
  if (!is.null(object$vcov)) return(object$vcov)
  error <- object$tidy$std_error
  if (length(error) == 1L && !is.na(error)) {
    return(matrix(error^2, 1, 1, dimnames = list(object$tidy$term, object$tidy$term)))
  }
  stop("Engine '", object$engine, "' of '", object$estimator, "' gives no covariance matrix under ",
       "these settings; as.data.frame() has the standard errors.", call. = FALSE)
}

print.sos_fit <- function(x, digits = 4, ...) {
  cat(x$estimator, ", engine ", x$engine, "\n", sep = "")
  print(x$tidy, digits = digits, row.names = FALSE)
  cat(strwrap(sprintf("%s cases of %s units, %s of them treated; variance: %s", x$glance$n_cases,
                      x$glance$n_units, x$glance$n_treated_units, x$glance$vcov)), sep = "\n")
  if (length(x$warnings)) cat(strwrap(x$warnings, exdent = 2), sep = "\n")
  invisible(x)
}

summary.sos_fit <- function(object, ...) object

`[[.sos_fits` <- function(x, i) {
  fits <- unclass(x)
  if (is.character(i) && !i %in% names(fits)) {
    stop("Engine '", i, "' gave no estimate. Engines that did: ",
         paste(names(fits), collapse = ", "), ".", call. = FALSE)
  }
  fits[[i]]
}

print.sos_fits <- function(x, ...) {
  for (fit in unclass(x)) {
    print(fit, ...)
    cat("\n")
  }
  compared <- sos_agreement(x)
  for (i in seq_len(nrow(compared))) {
    one <- compared[i, ]
    cat(strwrap(paste0("Engines ", one$reference, " and ", one$engine, " ", one$verdict,
                       if (nzchar(one$reason)) ": ", one$reason)), sep = "\n")
  }
  invisible(x)
}
