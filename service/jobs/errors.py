"""
What ends work on a part of a job before it is done. Nobody is answered with these.

Interrupted             let it rise: the runner knows what to do
├── Cancelled           nobody wants it any more
├── HandedOver          another worker has it by now
└── ShuttingDown        this worker stops; another goes on with it
Hopeless                trying again is no use: the job has failed
└── UnusableSource      what it reads is gone, changed, or not what it is called
"""

from service.errors import ServiceError


class Interrupted(Exception):
    pass


class Cancelled(Interrupted):
    pass


class HandedOver(Interrupted):
    pass


class ShuttingDown(Interrupted):
    pass


class Hopeless(ServiceError):
    pass


class UnusableSource(Hopeless):
    pass
