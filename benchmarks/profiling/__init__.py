"""What the methods cost and how fast this machine trains."""
