# The program sos-plugins, as a process of its own.

sos_command <- function() {
  named <- getOption("sosplugins.command", Sys.getenv("SOS_PLUGINS", unset = "sos-plugins"))
  path <- Sys.which(named)
  if (!nzchar(path) && file.exists(named)) path <- named
  if (!nzchar(path)) {
    stop("The program '", named, "' was not found. Install sos-plugins for Python, or say where it ",
         "is: options(sosplugins.command = \"path/to/sos-plugins\"), or the environment variable ",
         "SOS_PLUGINS.", call. = FALSE)
  }
  unname(path)
}

# What the program answers as JSON, as R has it. What it notes meanwhile is a message; where it
# fails, its sentence is the error.
answer_of <- function(arguments) {
  out <- tempfile("sos-answer-", fileext = ".json")
  err <- tempfile("sos-notes-", fileext = ".txt")
  on.exit(unlink(c(out, err)))
  command <- sos_command()
  before <- Sys.getenv("LD_LIBRARY_PATH", unset = NA)
  if (!is.na(before)) {
    Sys.setenv(LD_LIBRARY_PATH = without_own_libraries(before))
    on.exit(Sys.setenv(LD_LIBRARY_PATH = before), add = TRUE)
  }
  status <- suppressWarnings(system2(command, shQuote(c(arguments, "--json")),
                                     stdout = out, stderr = err))
  notes <- readLines(err, warn = FALSE, encoding = "UTF-8")
  if (status != 0L) stop(failure_in(notes, status), call. = FALSE)
  notes <- notes[nzchar(trimws(notes))]
  if (length(notes)) message(paste(notes, collapse = "\n"))
  text <- paste(readLines(out, warn = FALSE, encoding = "UTF-8"), collapse = "\n")
  jsonlite::fromJSON(text, simplifyVector = FALSE)
}

# R leads what it starts to its own and the system's libraries first, where Python may then find
# another Python's.
without_own_libraries <- function(path) {
  folders <- strsplit(path, ":", fixed = TRUE)[[1]]
  own <- startsWith(folders, R.home()) | grepl("^/(usr/)?lib(64)?(/|$)", folders)
  paste(folders[!own], collapse = ":")
}

failure_in <- function(notes, status) {
  start <- grep("^Error: ", notes)
  if (!length(start)) return(paste(c(sprintf("sos-plugins ended with status %d.", status), notes),
                                   collapse = "\n"))
  paste(c(sub("^Error: ", "", notes[start[1]]), notes[-seq_len(start[1])]), collapse = "\n")
}

# Rows of an answer as a data frame: null is NA, "inf" is Inf.
rows_of <- function(rows) {
  if (!length(rows)) return(data.frame())
  names <- unique(unlist(lapply(rows, names)))
  columns <- lapply(names, function(name) column_of(lapply(rows, `[[`, name)))
  as.data.frame(stats::setNames(columns, names), stringsAsFactors = FALSE, check.names = FALSE,
                optional = TRUE)
}

column_of <- function(values) {
  values <- lapply(values, function(value) {
    if (is.null(value)) NA
    else if (length(value) == 1L && !is.list(value)) value
    else jsonlite::toJSON(value, auto_unbox = TRUE, null = "null")
  })
  values <- unlist(values)
  if (is.character(values) && all(is.na(values) | is_number(values))) as.numeric(values) else values
}

# "inf" and "-inf" stand for infinite numbers, which JSON does not have.
is_number <- function(text) text %in% c("inf", "-inf", "nan") | grepl("^-?[0-9.]+(e[-+]?[0-9]+)?$", text)

sos_estimators <- function() {
  all <- rows_of(answer_of(c("list", "estimators")))
  all[, c("name", "what", "from")]
}
