"""What the rows of a campaign mean: trials, intervals, threshold, mission, strata, plans."""
