"""The web demonstration: a picture in, poses with their uncertainty out; on this machine, in memory alone."""
