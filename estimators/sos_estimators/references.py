"""The papers of the estimators, each said once."""

from __future__ import annotations

from sos_plugins.contract.reference import Reference

ABADIE_2010 = Reference(
    "Abadie, A., Diamond, A. and Hainmueller, J.",
    2010,
    "Synthetic control methods for comparative case studies: Estimating the effect of California's "
    "tobacco control program",
    "Journal of the American Statistical Association 105(490), 493-505",
    "10.1198/jasa.2009.ap08746",
)
ANGRIST_PISCHKE_2009 = Reference(
    "Angrist, J. D. and Pischke, J.-S.",
    2009,
    "Mostly harmless econometrics: An empiricist's companion",
    "Princeton University Press, chapter 5",
)
ARKHANGELSKY_2021 = Reference(
    "Arkhangelsky, D., Athey, S., Hirshberg, D. A., Imbens, G. W. and Wager, S.",
    2021,
    "Synthetic difference-in-differences",
    "American Economic Review 111(12), 4088-4118",
    "10.1257/aer.20190159",
)
BEN_MICHAEL_2021 = Reference(
    "Ben-Michael, E., Feller, A. and Rothstein, J.",
    2021,
    "The augmented synthetic control method",
    "Journal of the American Statistical Association 116(536), 1789-1803",
    "10.1080/01621459.2021.1929245",
)
BEN_MICHAEL_2022 = Reference(
    "Ben-Michael, E., Feller, A. and Rothstein, J.",
    2022,
    "Synthetic controls with staggered adoption",
    "Journal of the Royal Statistical Society B 84(2), 351-381",
    "10.1111/rssb.12448",
)
BORUSYAK_2024 = Reference(
    "Borusyak, K., Jaravel, X. and Spiess, J.",
    2024,
    "Revisiting event-study designs: Robust and efficient estimation",
    "Review of Economic Studies 91(6), 3253-3285",
    "10.1093/restud/rdae007",
)
BUTTS_GARDNER_2022 = Reference(
    "Butts, K. and Gardner, J.",
    2022,
    "did2s: Two-stage difference-in-differences",
    "The R Journal 14(3), 162-173",
    "10.32614/RJ-2022-048",
)
CALLAWAY_SANTANNA_2021 = Reference(
    "Callaway, B. and Sant'Anna, P. H. C.",
    2021,
    "Difference-in-differences with multiple time periods",
    "Journal of Econometrics 225(2), 200-230",
    "10.1016/j.jeconom.2020.12.001",
)
CENGIZ_2019 = Reference(
    "Cengiz, D., Dube, A., Lindner, A. and Zipperer, B.",
    2019,
    "The effect of minimum wages on low-wage jobs",
    "Quarterly Journal of Economics 134(3), 1405-1454",
    "10.1093/qje/qjz014",
)
GARDNER_2022 = Reference(
    "Gardner, J.", 2022, "Two-stage differences in differences", "arXiv:2207.05943"
)
GOODMAN_BACON_2021 = Reference(
    "Goodman-Bacon, A.",
    2021,
    "Difference-in-differences with variation in treatment timing",
    "Journal of Econometrics 225(2), 254-277",
    "10.1016/j.jeconom.2021.03.014",
)
JACOBSON_1993 = Reference(
    "Jacobson, L. S., LaLonde, R. J. and Sullivan, D. G.",
    1993,
    "Earnings losses of displaced workers",
    "American Economic Review 83(4), 685-709",
)
LIANG_ZEGER_1986 = Reference(
    "Liang, K.-Y. and Zeger, S. L.",
    1986,
    "Longitudinal data analysis using generalized linear models",
    "Biometrika 73(1), 13-22",
    "10.1093/biomet/73.1.13",
)
SANTANNA_ZHAO_2020 = Reference(
    "Sant'Anna, P. H. C. and Zhao, J.",
    2020,
    "Doubly robust difference-in-differences estimators",
    "Journal of Econometrics 219(1), 101-122",
    "10.1016/j.jeconom.2020.06.003",
)
SUN_ABRAHAM_2021 = Reference(
    "Sun, L. and Abraham, S.",
    2021,
    "Estimating dynamic treatment effects in event studies with heterogeneous treatment effects",
    "Journal of Econometrics 225(2), 175-199",
    "10.1016/j.jeconom.2020.09.006",
)
WING_2024 = Reference(
    "Wing, C., Freedman, S. M. and Hollingsworth, A.",
    2024,
    "Stacked difference-in-differences",
    "NBER Working Paper 32054",
    "10.3386/w32054",
)
WOOLDRIDGE_2025 = Reference(
    "Wooldridge, J. M.",
    2025,
    "Two-way fixed effects, the two-way Mundlak regression, and difference-in-differences "
    "estimators",
    "Empirical Economics 69, 2545-2587",
)
