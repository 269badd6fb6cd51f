"""Waiting for a condition with a limit: the tests never sleep for luck."""
import time

# Sanitised builds on a shared two-core machine are slow; a limit is only reached when something is broken.
LIMIT = 30.0


def wait_until(condition, what, limit=LIMIT, step=0.01):
    """Returns the condition's first true value; raises after `limit` seconds."""
    end = time.monotonic() + limit
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {limit:g} s for {what}")
        time.sleep(step)
