# The engines in R: files of functions in base R that the program runs, to be read and used by hand.

known <- new.env(parent = emptyenv())

# Asked for once of each program.
engine_folder <- function() {
  command <- sos_command()
  if (is.null(known[[command]])) known[[command]] <- asked_folder()
  known[[command]]
}

asked_folder <- function() {
  shown <- answer_of(c("show", "did"))
  folder <- file.path(dirname(shown[[1]]$file), "r")
  if (!dir.exists(folder)) {
    stop("There is no folder '", folder, "': this sos-plugins came without its engines in R.",
         call. = FALSE)
  }
  folder
}

sos_engines <- function() {
  files <- list.files(engine_folder(), pattern = "[.]R$", full.names = TRUE)
  about <- vapply(files, function(file) sub("^#+ *", "", readLines(file, n = 1L)), "")
  data.frame(engine = sub("[.]R$", "", basename(files)), about = unname(about), file = files)
}

sos_engine <- function(name) {
  engines <- sos_engines()
  file <- engines$file[engines$engine == one_text(name, "name")]
  if (!length(file)) {
    stop("There is no engine in R called '", name, "'. There are: ",
         paste(engines$engine, collapse = ", "), ".", call. = FALSE)
  }
  functions <- new.env(parent = globalenv())
  sys.source(file, functions, chdir = TRUE)
  functions
}
