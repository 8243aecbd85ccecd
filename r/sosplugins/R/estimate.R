sos_estimate <- function(data, estimator, unit, period, cohort, value, id = NULL,
                         covariates = character(), weights = NULL, cluster = NULL, engine = NULL,
                         missing = character(), ...) {
  if (!is.data.frame(data)) {
    stop("'data' is ", article(class(data)[1]), "; a data frame was expected.", call. = FALSE)
  }
  roles <- list(unit = unit, period = period, cohort = cohort, value = value, id = id,
                weights = weights, cluster = cluster)
  roles <- roles[!vapply(roles, is.null, logical(1))]
  check_names(data, roles, covariates)
  file <- tempfile("sos-data-", fileext = ".csv")
  on.exit(unlink(file))
  write_table(data[unique(c(unlist(roles), covariates))], file)
  arguments <- c("estimate", one_text(estimator, "estimator"), "--data", file,
                 option_pairs(roles),
                 if (length(covariates)) c("--covariates", covariate_terms(data, covariates)),
                 if (!is.null(engine)) c("--engine", one_text(engine, "engine")),
                 as.vector(rbind(rep("--missing", length(missing)), missing)),
                 settings_of(list(...)))
  answer <- answer_of(arguments)
  if (identical(engine, "all")) fits_of(answer, estimator) else fit_of(answer)
}

article <- function(word) paste(if (grepl("^[aeiou]", word)) "an" else "a", word)

one_text <- function(value, argument) {
  if (!is.character(value) || length(value) != 1L || is.na(value)) {
    stop("'", argument, "' must be one text.", call. = FALSE)
  }
  value
}

check_names <- function(data, roles, covariates) {
  for (role in names(roles)) one_text(roles[[role]], role)
  if (!is.character(covariates)) stop("'covariates' must be names of columns.", call. = FALSE)
  wanted <- c(unlist(roles), covariates)
  absent <- setdiff(wanted, names(data))
  if (length(absent)) {
    stop("'data' has no column ", paste0("'", absent, "'", collapse = ", "), ". Its columns: ",
         paste0("'", names(data), "'", collapse = ", "), ".", call. = FALSE)
  }
  strange <- grep("[,()]", covariates, value = TRUE)
  if (length(strange)) {
    stop("The covariate '", strange[1], "' has a comma or a bracket in its name: rename it.",
         call. = FALSE)
  }
}

# With all digits that a number has; a factor by its labels, TRUE and FALSE as 1 and 0, NA empty.
write_table <- function(data, file) {
  data[] <- lapply(names(data), function(name) as_written(data[[name]], name))
  utils::write.csv(data, file, row.names = FALSE, na = "", fileEncoding = "UTF-8")
}

as_written <- function(column, name) {
  if (is.factor(column)) return(as.character(column))
  if (is.logical(column)) return(as.integer(column))
  if (inherits(column, "Date")) return(format(column, "%Y-%m-%d"))
  if (is.character(column) || is.integer(column)) return(column)
  if (is.numeric(column) && is.null(dim(column))) {
    text <- format(column, digits = 17, trim = TRUE, scientific = NA)
    text[is.na(column)] <- NA
    text[is.infinite(column)] <- ifelse(column[is.infinite(column)] > 0, "inf", "-inf")
    return(I(noquote(text)))
  }
  stop("Column '", name, "' of 'data' is ", article(class(column)[1]),
       "; numbers, text, factors, dates or TRUE and FALSE were expected.", call. = FALSE)
}

option_pairs <- function(roles) as.vector(rbind(paste0("--", names(roles)), unlist(roles)))

# A factor is categories whatever its labels look like.
covariate_terms <- function(data, covariates) {
  categories <- vapply(covariates, function(name) is.factor(data[[name]]), logical(1))
  paste(ifelse(categories, sprintf("factor(%s)", covariates), covariates), collapse = ",")
}

settings_of <- function(settings) {
  if (!length(settings)) return(NULL)
  if (is.null(names(settings)) || any(!nzchar(names(settings)))) {
    stop("Settings of the estimator are given by name, such as aggregate = \"event\".",
         call. = FALSE)
  }
  text <- vapply(names(settings), function(name) setting_text(settings[[name]], name), "")
  as.vector(rbind("--set", paste0(names(settings), "=", text)))
}

# As TOML has it: a vector of several, or a list, is an array.
setting_text <- function(value, name) {
  fits <- is.list(value) || is.character(value) || is.numeric(value) || is.logical(value)
  if (!fits || !length(value) || anyNA(unlist(value))) {
    stop("Setting '", name, "' must be text, a number, TRUE or FALSE, or a vector of these.",
         call. = FALSE)
  }
  as.character(jsonlite::toJSON(value, auto_unbox = TRUE, digits = NA))
}
