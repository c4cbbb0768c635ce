"""Logs as lines of JSON."""

import json
import logging
from datetime import UTC, datetime
from typing import Any


class JsonFormatter(logging.Formatter):
    """Format a record as one line of JSON: time, level, logger, event, and the dictionary `fields` of the record."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line.

        Example:
            >>> record = logging.makeLogRecord({"msg": "started", "levelname": "INFO", "fields": {"port": 80}})
            >>> json.loads(JsonFormatter().format(record))["port"]
            80
        """
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": (record.name or "").removesuffix(".error"),  # uvicorn's name for all its messages
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def log_as_json(level: int = logging.INFO) -> None:
    """Write all records of the process from a level on to standard error, as lines of JSON."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
