"""How a build tool says what went wrong. No Django here."""

from __future__ import annotations


class BuildFault(Exception):
    """`reason` is CamelCase; the message is a sentence for people that says what to do next.

    `platform` tells whose fault it is: False for something in the submission, True for the
    machine or the network (then trying again may help).
    """

    platform = False

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class SubmissionFault(BuildFault):
    platform = False


class PlatformFault(BuildFault):
    platform = True
