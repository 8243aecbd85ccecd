# What can be held without the program: what is written, and what is refused.
library(sosplugins)

refused <- function(expr) conditionMessage(tryCatch(expr, error = identity))
data <- data.frame(unit = c("a", "b"), year = 1:2, first = 0, y = c(0.1 + 0.2, NA),
                   kind = factor(c("1", "2")))
call <- function(...) sos_estimate(data, "did", unit = "unit", period = "year", ...)

stopifnot(grepl("no column 'when'", refused(call(cohort = "when", value = "y"))),
          grepl("a list; a data frame was expected",
                refused(sos_estimate(list(1), "did", "unit", "year", "first", "y"))),
          grepl("'value' must be one text", refused(call(cohort = "first", value = 4))),
          grepl("by name", refused(sosplugins:::settings_of(list("CR1")))))

file <- tempfile()
sosplugins:::write_table(data, file)
again <- read.csv(file, colClasses = "character")
stopifnot(as.numeric(again$y[1]) == data$y[1], again$y[2] == "", again$kind == c("1", "2"))
stopifnot(sosplugins:::covariate_terms(data, c("y", "kind")) == "y,factor(kind)")
stopifnot(identical(sosplugins:::settings_of(list(a = TRUE, b = c("x", "y"), c = 1)),
                    c("--set", "a=true", "--set", "b=[\"x\",\"y\"]", "--set", "c=1")))
stopifnot(identical(sosplugins:::rows_of(list(list(t = "x", df = "inf"), list(t = "y", df = NULL)))$df,
                    c(Inf, NA)))

options(sosplugins.command = "no-such-program")
stopifnot(grepl("was not found", refused(call(cohort = "first", value = "y"))))
