sos_run <- function(study, out = NULL, data = NULL) {
  for (path in c(study, data)) {
    if (!file.exists(path)) stop("There is no '", path, "'.", call. = FALSE)
  }
  answer <- answer_of(c("run", study, if (!is.null(out)) c("--out", out),
                        if (!is.null(data)) c("--data", data)))
  verdicts <- lapply(answer$outcomes, function(one) one[setdiff(names(one), "warnings")])
  warnings <- lapply(answer$outcomes, function(one) unlist(one$warnings))
  names(warnings) <- vapply(answer$outcomes, `[[`, "", "outcome")
  list(verdicts = rows_of(verdicts), warnings = warnings, notes = unlist(answer$notes),
       simulated = answer$simulated, report = answer$report)
}
