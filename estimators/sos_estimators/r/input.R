# Checks of what an engine is given, with the sentence that tells what is wrong.

# data     a data frame: one row a case, a cell or a unit and period, as the engine says
# columns  columns that it needs, besides the covariates
# empty    columns of these that may hold missing values
check_input <- function(data, columns, covariates = NULL, empty = character()) {
  if (!is.data.frame(data)) {
    stop("`data` is of class ", class(data)[1], "; a data frame was expected, with the columns ",
         named(columns), ".", call. = FALSE)
  }
  absent <- setdiff(c(columns, covariates), names(data))
  if (length(absent)) {
    stop("`data` has no column ", named(absent), ". Needed: ", named(c(columns, covariates)),
         "; it has ", named(names(data)), ".", call. = FALSE)
  }
  if (!nrow(data)) stop("`data` has no rows.", call. = FALSE)
  for (column in setdiff(c(columns, covariates), empty)) {
    missing <- sum(is.na(data[[column]]))
    if (missing) {
      stop("Column '", column, "' of `data` has ", missing, " missing value", if (missing > 1) "s",
           ", the first in row ", which(is.na(data[[column]]))[1],
           ": leave such rows out, or impute them first.", call. = FALSE)
    }
  }
  for (column in intersect(columns, c("value", "weight"))) {
    if (!is.numeric(data[[column]]) && !is.logical(data[[column]])) {
      stop("Column '", column, "' of `data` is of class ", class(data[[column]])[1],
           "; numbers were expected.", call. = FALSE)
    }
  }
  invisible(data)
}

named <- function(names) paste0("'", names, "'", collapse = ", ")
