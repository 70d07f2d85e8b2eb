"""Many runs of one experiment: what is varied, how trials run, and what they gave."""
