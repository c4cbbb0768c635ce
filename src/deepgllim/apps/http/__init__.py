"""What the page and the service share: the server, limits and checks of requests, and answers to failures."""
