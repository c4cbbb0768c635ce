"""Answers to failures: JSON with one line."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect


def add_failure_handlers(app: FastAPI) -> None:
    """Answer rejected requests with `{"error": "one line"}`."""
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(ClientDisconnect, _client_disconnected)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    message = error.detail
    if error.status_code == 404:
        message = "this address does not exist: check its path"
    elif error.status_code == 405:
        allowed = headers.get("allow", "another method")
        message = f"the method is {request.method[:20]!r}: use {allowed}"
    return JSONResponse({"error": message}, error.status_code, headers=headers)


async def _validation_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return JSONResponse({"error": "; ".join(map(_described, error.errors()))}, 422)


def _described(fault: Mapping[str, Any]) -> str:
    """Return the name, the value and the fault of a parameter.

    Example:
        >>> _described({"loc": ("query", "level"), "input": "90", "msg": "Input should be less than 1"})
        "level is '90': it should be less than 1"
    """
    name = ".".join(map(str, fault["loc"][1:]))
    return f"{name} is {str(fault['input'])[:40]!r}: {str(fault['msg']).replace('Input should', 'it should')}"


async def _client_disconnected(_: Request, __: Exception) -> Response:
    return Response(status_code=400)  # the client does not read it
