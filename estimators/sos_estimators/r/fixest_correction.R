# The small-sample correction of a convention, for the package `fixest`: "CR0", "CR1" or "fixest", see
# small_sample() in common.R. Its arguments have other names before fixest 0.13.
fixest_correction <- function(vcov) {
  given <- list(vcov == "fixest", vcov != "CR0")
  new <- "K.adj" %in% names(formals(fixest::ssc))
  do.call(fixest::ssc, stats::setNames(given, if (new) c("K.adj", "G.adj") else
    c("adj", "cluster.adj")))
}
