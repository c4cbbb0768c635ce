"""Whether a training ends with a good model on any machine: seeds, threads, components and both ends of the family."""
