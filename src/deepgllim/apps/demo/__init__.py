"""The demonstration: two trainings side by side on the bundled miniature of synthetic heads, and a report of them."""

from deepgllim.apps.demo.run import DemoResult, run_demo

__all__ = ["DemoResult", "run_demo"]
