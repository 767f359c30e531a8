"""Many trainings: lists of jobs, estimates of their cost, and the executors that run them."""
