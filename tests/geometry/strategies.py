"""What the tests of geometry/ share: the settings of their properties, and random poses."""

from hypothesis import settings
from hypothesis import strategies as st

properties = settings(deadline=None, max_examples=60, derandomize=True, database=None)
turn = st.floats(-180, 180)
pose = st.tuples(turn, turn, turn)
