"""The one exception whose message is meant for the person at the command line."""


class Refusal(ValueError):  # noqa: N818 (an answer, not an accident)
    """What was asked for cannot be done; the message says what, why, and what to do. Shown without a traceback."""
