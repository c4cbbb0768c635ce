"""Head rotations, their angles and the conventions of other software; numpy only."""
