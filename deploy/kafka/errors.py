"""Why there is no broker."""


class NoBrokerError(Exception):
    """No broker can be had on this machine; the message says what to install."""


class BrokerStartError(Exception):
    """A broker was started and did not come up; the message holds the end of its log."""
