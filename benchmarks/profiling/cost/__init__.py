"""What each piece of a method costs beside the baseline loss."""
