"""The model in the wheel: its data, its training, its figures on people it has not seen."""
