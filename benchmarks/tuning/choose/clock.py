"""The time that a command may take."""

import time


class Clock:
    """The time that is left.

    Args:
        started: by ``time.monotonic()``.
        seconds: that may be taken.
    """

    def __init__(self, started: float, seconds: float) -> None:
        self.started, self.seconds = started, seconds

    @property
    def end(self) -> float:
        """By ``time.monotonic()``."""
        return self.started + self.seconds

    @property
    def left(self) -> float:
        """Seconds; below 0 after the end."""
        return self.end - time.monotonic()

    @property
    def taken(self) -> float:
        """Seconds."""
        return time.monotonic() - self.started


def minutes(seconds: float) -> str:
    """Minutes and seconds, in words.

    Example:
        >>> minutes(59.4), minutes(245)
        ('59 s', '4 min 5 s')
    """
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"
