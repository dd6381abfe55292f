"""Running trials: from the plan, here or elsewhere, to the rows of the results."""
