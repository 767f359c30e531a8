"""How fast this machine trains and evaluates, beside what it could do at most."""
