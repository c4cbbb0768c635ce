"""Programs made of the package: the demonstration and the web page."""
