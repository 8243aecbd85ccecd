#!/bin/sh
# plm's test of serial correlation in first differences takes neighbouring rows for consecutive
# years, in a panel with a gap. Needs R 4.2 and apt (Debian 12); nothing is installed outside of the
# temporary folder.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
depends=$(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks \
    --no-replaces --no-enhances r-cran-plm | grep '^r-' | grep -v '^r-base\|^r-api' | sort -u)
apt-get download -qq -o APT::Sandbox::User=root $depends >/dev/null
for package in *.deb; do dpkg-deb -x "$package" "$folder/root"; done
R_LIBS="$folder/root/usr/lib/R/site-library:$folder/root/usr/lib/R/library" Rscript --vanilla - <<'R'
suppressMessages(library(plm))
cat("plm", as.character(packageVersion("plm")), "\n")
stopifnot(packageVersion("plm") == "2.6.2")

# 30 authorities over ten years, random walks: differences of consecutive years are uncorrelated.
# Every second authority returned nothing in the sixth year.
set.seed(1)
panel <- expand.grid(year = 2011:2020, authority = 1:30)
panel$x <- rnorm(300)
panel$y <- panel$x + ave(rnorm(300), panel$authority, FUN = cumsum)
panel <- panel[!(panel$year == 2016 & panel$authority %% 2 == 0), ]
model <- plm(y ~ x, pdata.frame(panel, c("authority", "year")), model = "fd")
answer <- pwfdtest(model, h0 = "fd")

# The same regression of residuals on residuals before, by hand: by rows, and by years.
by_hand <- function(span, earlier) {
    rows <- do.call(rbind, lapply(split(panel, panel$authority), function(one) {
        d <- data.frame(authority = one$authority[-1], year = one$year[-1], from = head(one$year, -1),
                        y = diff(one$y), x = diff(one$x))
        d[d$year - d$from <= span, ]
    }))
    rows$e <- resid(lm(y ~ x, rows))
    before <- earlier(rows)
    use <- !is.na(before)
    fit <- lm(rows$e[use] ~ before[use])
    design <- cbind(1, before[use])
    bread <- solve(crossprod(design))
    sums <- rowsum(design * resid(fit), rows$authority[use])
    unname((coef(fit)[2])^2 / (bread %*% crossprod(sums) %*% bread)[2, 2])
}
row_before <- function(rows) ave(rows$e, rows$authority, FUN = function(e) c(NA, head(e, -1)))
year_before <- function(rows)
    rows$e[match(paste(rows$authority, rows$year - 1), paste(rows$authority, rows$year))]
rows <- by_hand(2, row_before)
years <- by_hand(1, year_before)
cat(sprintf("F of the test: pwfdtest %.4f; by hand over rows %.4f, over years %.4f\n",
            answer$statistic, rows, years))
cat("What it means: where an authority returned nothing in a year, the difference over two years\n",
    "counts as one of a year, and is paired with its neighbours as if they were a year apart; nothing\n",
    "is said. Test a panel with gaps by year, or a part of it that has none.\n", sep = "")
stopifnot(abs(answer$statistic - rows) < 1e-8, abs(answer$statistic - years) > 0.1)
R
