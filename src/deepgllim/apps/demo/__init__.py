"""The demonstration: training of two methods on the bundled synthetic heads, and a report that compares them."""

from deepgllim.apps.demo.run import DemoResult, run_demo

__all__ = ["DemoResult", "run_demo"]
