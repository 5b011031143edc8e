"""
RehearsalError (ServiceError)
├── RealIncident        a real incident is under way at this service
├── KeysNeeded          the service wants keys, and there are not enough
├── BadKeyFile          what should name the keys does not
└── NoServiceOfOwn      the private service did not start
"""

from service.errors import ServiceError


class RehearsalError(ServiceError):
    """Why a rehearsal cannot be; the sentence is fit to print."""


class RealIncident(RehearsalError):
    pass


class KeysNeeded(RehearsalError):
    pass


class BadKeyFile(RehearsalError):
    pass


class NoServiceOfOwn(RehearsalError):
    pass
