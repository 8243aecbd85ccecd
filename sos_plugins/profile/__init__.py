"""The data-quality profile: what is wrong with records, by authority and year, before analysis."""
