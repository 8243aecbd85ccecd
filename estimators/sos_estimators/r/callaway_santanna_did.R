# Group-time average treatment effects by the package `did` (att_gt and aggte), with standard errors
# from its influence functions, summed by cluster.
#
# Needs did 2.3 or newer: older versions err in the standard error of the average over cohorts.
# To use it by hand: source this file and call callaway_santanna_did(data, ...) with a data frame of
# the columns period, cohort (0 = never treated), value, weight, cluster and, for a panel, id
# (a number); covariates are numeric columns.

callaway_santanna_did <- function(data, covariates = character(0), control = "nevertreated",
                                  method = "dr", base = "varying", anticipation = 0,
                                  aggregate = "group-time", min_event = -Inf, max_event = Inf) {
  if (utils::packageVersion("did") < "2.3") {
    stop("did is of version ", utils::packageVersion("did"), "; 2.3 or newer is needed")
  }
  panel <- "id" %in% names(data)
  data <- data[if (panel) order(data$id, data$period) else seq_len(nrow(data)), , drop = FALSE]
  # versions before 2.3 take a balanced panel that might be unbalanced for cross-sections
  unbalanced <- panel && nrow(data) < length(unique(data$id)) * length(unique(data$period))
  arguments <- list(
    yname = "value", tname = "period", gname = "cohort", idname = if (panel) "id",
    weightsname = "weight", data = data, panel = panel, allow_unbalanced_panel = unbalanced,
    xformla = if (length(covariates)) stats::reformulate(covariates) else ~1,
    control_group = control, est_method = method, base_period = base,
    anticipation = anticipation, bstrap = FALSE, cband = FALSE, print_details = FALSE)
  # the faster computation keeps rows in an order of its own
  if ("faster_mode" %in% names(formals(did::att_gt))) arguments$faster_mode <- FALSE
  found <- do.call(did::att_gt, arguments)
  clusters <- if (panel) data$cluster[!duplicated(data$id)] else data$cluster
  if (nrow(found$inffunc) != length(clusters)) {
    stop("did used ", nrow(found$inffunc), " of ", length(clusters), " units of observation")
  }
  std_error <- function(influence) {
    influence <- matrix(as.numeric(influence), nrow = length(clusters))
    sqrt(colSums(rowsum(influence, clusters)^2)) / length(clusters)
  }
  average <- function(type, ...) did::aggte(found, type = type, na.rm = TRUE, bstrap = FALSE,
                                            cband = FALSE, ...)
  result <- switch(aggregate,
    "group-time" = , simple = {
      overall <- average("simple")
      list(term = "overall", estimate = overall$overall.att,
           std_error = std_error(overall$inf.function$simple.att))
    },
    event = averages(average("dynamic", min_e = min_event, max_e = max_event), "event",
                     "dynamic.inf.func", "dynamic.inf.func.e", std_error),
    cohort = averages(average("group"), "cohort",
                      "selective.inf.func", "selective.inf.func.g", std_error),
    calendar = averages(average("calendar"), "calendar",
                        "calendar.inf.func", "calendar.inf.func.t", std_error))
  if (aggregate == "group-time") {
    result <- list(term = c(result$term, sprintf("ATT(%s,%s)", found$group, found$t)),
                   estimate = c(result$estimate, found$att),
                   std_error = c(result$std_error, std_error(found$inffunc)))
  }
  # a reference period has the effect zero by definition and no standard error
  result$std_error[result$std_error < 1e-12 * pmax(abs(result$estimate), 1e-300)] <- NA
  result$std_error[result$std_error == 0] <- NA
  result
}

averages <- function(found, word, overall, single, std_error) {
  list(term = c("overall", paste0(word, "=", found$egt)),
       estimate = c(found$overall.att, found$att.egt),
       std_error = c(std_error(found$inf.function[[overall]]),
                     std_error(found$inf.function[[single]])))
}
