"""Declares an operation once: its route and its description are made of the same words."""

import re
from collections.abc import Callable

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue
from pydantic import BaseModel

from service.inputs import Model, NoParameters, read_parameters
from service.openapi import Description, Operation

View = Callable[..., ResponseReturnValue]

JSON = "application/json"


class Operations:
    """The operations of one blueprint."""

    def __init__(self, routes: Blueprint, description: Description) -> None:
        self._routes = routes
        self._description = description

    def on(self, operation: Operation) -> Callable[[View], View]:
        """Serves an operation by the decorated function."""
        rule = re.sub(r"\{(\w+)\}", r"<\1>", operation.path)

        def declare(view: View) -> View:
            self._description.add(operation)
            self._routes.add_url_rule(
                rule,
                endpoint=operation.name,
                view_func=view,
                methods=[operation.method.upper()],
                provide_automatic_options=False,
            )
            return view

        return declare


def parameters(model: type[Model]) -> Model:
    """The query of this request, read strictly."""
    return read_parameters(model, request.args.items(multi=True))


def no_parameters() -> None:
    """This request takes none."""
    read_parameters(NoParameters, request.args.items(multi=True))


def answer(body: BaseModel, status: int = 200) -> Response:
    return Response(body.model_dump_json(), status=status, content_type=JSON)
