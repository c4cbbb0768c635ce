"""The service: `POST /v1/poses` with batches of concurrent requests, health, metrics, logs, and the page."""
