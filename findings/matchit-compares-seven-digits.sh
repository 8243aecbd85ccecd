#!/bin/sh
# MatchIt matches "exactly" on numbers that differ: it compares them as they are printed.
# Needs R 4.2 and apt (Debian 12); nothing is installed outside of the temporary folder.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
depends=$(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks \
    --no-replaces --no-enhances r-cran-matchit | grep '^r-cran' | sort -u)
apt-get download -qq -o APT::Sandbox::User=root $depends >/dev/null
for package in *.deb; do dpkg-deb -x "$package" "$folder/root"; done
R_LIBS="$folder/root/usr/lib/R/site-library" Rscript --vanilla - <<'R'
cat("MatchIt", as.character(packageVersion("MatchIt")), "\n")
stopifnot(packageVersion("MatchIt") == "4.5.1")

# Two pilots' cases and two of comparators; no two have the same number.
d <- data.frame(pilot = c(1, 1, 0, 0), id = c(1234567.1, 1234567.2, 1234567.3, 1234567.4))
exact <- MatchIt::matchit(pilot ~ id, data = d, method = "exact")$subclass
cat("method = 'exact' on", format(d$id, digits = 8), ": strata", as.character(exact), "\n")

# The day of a referral as a number, with the time of day behind the point.
d <- data.frame(pilot = c(1, 1, 0, 0), day = c(20150101.25, 20150102.25, 20150101.75, 20150102.75))
cem <- MatchIt::matchit(pilot ~ day, data = d, method = "cem", cutpoints = list(day = 0))$subclass
cat("method = 'cem' without coarsening on", format(d$day, digits = 10), ": strata",
    as.character(cem), "\n")
cat("What it means: numbers with more than seven digits, such as pupil numbers with a fraction or\n",
    "days written as yyyymmdd, count as the same, or as different, by how R prints them. Give them\n",
    "as text, or as factors made with all their digits.\n", sep = "")

stopifnot(length(unique(d$day)) == 4, all(!is.na(exact)), length(unique(exact)) == 1)
stopifnot(sum(!is.na(cem)) == 2)
R
