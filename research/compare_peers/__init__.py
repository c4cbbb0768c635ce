"""Other people's head-pose systems on the same crops, by the same measures."""
