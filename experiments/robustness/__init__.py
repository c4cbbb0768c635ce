"""Variation of trainings over seeds, threads, numbers of components and the two ends of the family F_β."""
