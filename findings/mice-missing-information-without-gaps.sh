#!/bin/sh
# mice tells of missing information where nothing is missing, and mitools pools to other degrees of
# freedom from the same fits. Needs R 4.2 and apt (Debian 12); nothing is installed outside of the
# temporary folder.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
depends=$(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks \
    --no-replaces --no-enhances r-cran-mice r-cran-mitools | grep '^r-' | grep -v '^r-base\|^r-api' | sort -u)
apt-get download -qq -o APT::Sandbox::User=root $depends >/dev/null
for package in *.deb; do dpkg-deb -x "$package" "$folder/root"; done
R_LIBS="$folder/root/usr/lib/R/site-library:$folder/root/usr/lib/R/library" Rscript --vanilla - <<'R'
suppressMessages(library(mice, warn.conflicts = FALSE))
cat("mice", as.character(packageVersion("mice")), " mitools",
    as.character(packageVersion("mitools")), "\n")
stopifnot(packageVersion("mice") == "3.15.0", packageVersion("mitools") == "2.4")

# Five data sets that are the same: no value was missing in any.
x <- c(3, 1, 4, 1, 5, 9, 2, 6)
same <- pool(as.mira(lapply(1:5, function(i) lm(1:8 ~ x))))$pooled[2, ]
cat(sprintf("the same fit five times: lambda %.3f, fraction of missing information %.3f, df %.2f of 6\n",
            same$lambda, same$fmi, same$df))

# Five estimates and variances, complete-data degrees of freedom 20: one answer by each package.
estimate <- c(1.0, 1.3, 0.8, 1.1, 0.9)
variance <- c(0.04, 0.05, 0.045, 0.04, 0.05)
by_mice <- pool.scalar(estimate, variance, n = 21, k = 1)
by_mitools <- mitools::MIcombine(as.list(estimate), as.list(variance), df.complete = 20)
cat(sprintf("df of the same five estimates: mice %.2f, mitools %.2f\n",
            by_mice$df, by_mitools$df))
cat("What it means: mice's fraction of missing information has 2 / (df + 3) in it, with the degrees\n",
    "of freedom of small samples, so that a trial with few authorities seems to lack information\n",
    "when it is complete; lambda does not. mitools leaves out (1 + 1/m) in the share that was\n",
    "observed, so its degrees of freedom are others than those of Barnard and Rubin (1999).\n", sep = "")

stopifnot(same$lambda == 0, same$fmi > 0.2)
stopifnot(abs(by_mice$df - by_mitools$df) > 0.05)
R
