"""What can go wrong, in the terms of the field; ``api/faults.py`` turns these into OpenStack faults.

Nothing here knows HTTP beyond the status code that every OpenStack service uses for the kind of error, and
nothing here knows Temporal: ``activities/`` decides what is retried.
"""


class KilonovaError(Exception):
    """Base of all expected errors. ``message`` is one sentence for the user and holds no secret."""

    code = 500

    def __init__(self, message: str, *, kind: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.kind = kind or type(self).__name__
        """Name of the error on the wire where a service has one (Neutron's ``NeutronError.type``)."""


class BadRequest(KilonovaError):
    code = 400


class Unauthorized(KilonovaError):
    code = 401


class Forbidden(KilonovaError):
    code = 403


class NotFound(KilonovaError):
    code = 404


class Conflict(KilonovaError):
    code = 409


class QuotaExceeded(KilonovaError):
    code = 403


class TooLarge(KilonovaError):
    code = 413


class UnsupportedMediaType(KilonovaError):
    code = 415


class TooManyRequests(KilonovaError):
    """The caller's own limit: the same request may be sent again after ``retry_after`` seconds."""

    code = 429

    def __init__(self, message: str, *, retry_after: int = 5) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(KilonovaError):
    """Something that will be back: the caller may send the same request again after ``retry_after`` seconds."""

    code = 503

    def __init__(self, message: str, *, retry_after: int = 5, kind: str | None = None) -> None:
        super().__init__(message, kind=kind)
        self.retry_after = retry_after


class HostRejected(KilonovaError):
    """This host can't have the server; another may. ``soft``: it is only busy, or restarting."""

    def __init__(self, message: str, *, soft: bool = False) -> None:
        super().__init__(message)
        self.soft = soft


class BuildAborted(KilonovaError):
    """No host could carry out this request: bad image data, no such network, ..."""

    def __init__(self, message: str, *, code: int = 500) -> None:
        super().__init__(message)
        self.code = code


class DiskLost(KilonovaError):
    """What a server had written is not on its host any more: its guest can't be started."""


class Fenced(KilonovaError):
    """The attempt this effect belongs to was closed while it ran; what it made has been removed."""


class NoValidHost(KilonovaError):
    """No host passes the filters, or none had room when it came to the claim."""

    code = 400


class ClaimLost(KilonovaError):
    """The host took the claim no more: another was faster, or it changed. Another host, or fresh data, may do."""

    code = 409
