"""Which of the choices in the training matter, on Pointing'04."""
