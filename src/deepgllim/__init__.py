"""Deep mixtures of linear inverse regressions: images in, poses with a distribution out.

Public names load on first use; importing the package loads neither torch nor any optional dependency.
"""

__version__ = "0.1.0"
