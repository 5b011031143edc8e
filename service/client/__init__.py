"""
Speaks to a running service.

    client = Client("http://127.0.0.1:8080")
    client.put_bank("first", "harmful")
    client.add_item("first", data)
    answer = client.match(data)
"""

from service.client.client import Client
from service.client.errors import (
    UPLOAD_PROBLEMS,
    BadKey,
    ClientError,
    NotAfterimage,
    ServiceProblem,
    ServiceUnreachable,
)

__all__ = [
    "UPLOAD_PROBLEMS",
    "BadKey",
    "Client",
    "ClientError",
    "NotAfterimage",
    "ServiceProblem",
    "ServiceUnreachable",
]
