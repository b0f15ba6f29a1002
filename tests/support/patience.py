"""What must answer at once, such as the refusal of a pipe that nobody writes into."""

import signal
from contextlib import contextmanager


class LateError(BaseException):
    """No reader may take this for an error of its file, as it might an `Exception`."""


@contextmanager
def raising_after(seconds, error):
    """Raise an error in the main thread after some seconds, unless it is through before."""

    def late(_number, _frame):
        raise error

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def at_once(seconds=3.0):
    """Raise `LateError` in what is still waiting after some seconds."""
    return raising_after(seconds, LateError(f"no answer within {seconds} s"))
